# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plan needs to know about an image, read from its files and never from this machine."""

import os
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from swarmstrap.errors import BadInput
from swarmstrap.manifest import (
    KERNEL_VERSION,
    WORD,
    DiskFacts,
    Facts,
    ImageKind,
    Kernel,
    NetworkStack,
    Resolver,
)
from swarmstrap.units import KiB
from swarmstrap_server.images import loaders
from swarmstrap_server.images.looking import first_bytes, look, names, there
from swarmstrap_server.images.source import Source
from swarmstrap_server.images.unlocking import tpm2_unlocker

ByteOrder: TypeAlias = Literal["big", "little"]

# e_machine of elf(5) with the order of its bytes, as `uname -m` says it.
_MACHINES: dict[tuple[int, ByteOrder], str] = {
    (3, "little"): "i686",
    (20, "big"): "ppc",
    (21, "big"): "ppc64",
    (21, "little"): "ppc64le",
    (22, "big"): "s390x",
    (40, "little"): "armv7l",
    (62, "little"): "x86_64",
    (183, "little"): "aarch64",
    (243, "little"): "riscv64",
    (258, "little"): "loongarch64",
}
_PROGRAMS = ("bin/sh", "usr/bin/sh", "sbin/init", "usr/lib/systemd/systemd")
_KERNEL_NAMES = ("vmlinuz-", "vmlinux-", "Image-")
_INITRD_NAMES = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img")
_WANTS = ("multi-user.target.wants", "network-online.target.wants", "sysinit.target.wants")
_MAX_RELEASE = 64 * KiB
_ELF_HEAD = 20


@dataclass(frozen=True, slots=True)
class About:
    """What a manifest says of what is in the image."""

    kind: ImageKind
    architecture: str
    facts: Facts
    disk: DiskFacts | None = None


def about_tree(source: Source) -> About:
    """Raises BadInput when the source is no system."""
    return About("tree", read_architecture(source), read_facts(source))


def read_facts(source: Source) -> Facts:
    release = _os_release(source)
    os_id = release.get("ID", "")
    os_id = os_id if WORD.fullmatch(os_id) else ""
    return Facts(
        os_id=os_id,
        os_name=release.get("PRETTY_NAME", release.get("NAME", "")),
        os_version=release.get("VERSION_ID", ""),
        kernels=_kernels(source),
        grub_targets=loaders.grub_targets(source),
        grub_folder=loaders.grub_folder(source),
        signed_boot=loaders.signed_boot(source, os_id),
        systemd_boot=loaders.systemd_boot(source),
        kernel_arguments=loaders.kernel_arguments(source),
        network_stack=_network_stack(source),
        resolver=_resolver(source),
        tpm2_unlocker=tpm2_unlocker(source),
        cloud_init=there(source, "etc/cloud/cloud.cfg"),
    )


def read_architecture(source: Source) -> str:
    """As in `uname -m`; raises BadInput when the tree has no program that tells."""
    for name in _PROGRAMS:
        head = first_bytes(source, name, _ELF_HEAD) or b""
        if head[:4] == b"\x7fELF" and len(head) == _ELF_HEAD:
            order: ByteOrder = "big" if head[5] == 2 else "little"
            machine = int.from_bytes(head[18:20], order)
            return _MACHINES.get((machine, order), f"elf-{machine}-{order}")
    raise BadInput(
        f"{source.name} has no program that tells its architecture "
        f"(looked for {', '.join(_PROGRAMS)})",
        hint="name the root of an installed system",
    )


def natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key in which 6.10 comes after 6.9."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _os_release(source: Source) -> dict[str, str]:
    for name in ("etc/os-release", "usr/lib/os-release"):
        data = first_bytes(source, name, _MAX_RELEASE)
        if data is not None:
            lines = [
                "".join(letter for letter in line if letter.isprintable())
                for line in data.decode(errors="replace").splitlines()
            ]
            pairs = (line.partition("=") for line in lines if not line.startswith("#"))
            return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if key}
    return {}


def _kernels(source: Source) -> tuple[Kernel, ...]:
    """Newest first; rescue images are none."""
    boot = names(source, "boot")
    kernels = []
    for name in boot:
        version = next((name.removeprefix(n) for n in _KERNEL_NAMES if name.startswith(n)), "")
        image = look(source, os.fsencode(f"boot/{name}"))
        if not KERNEL_VERSION.fullmatch(version) or "rescue" in version:
            continue
        if image is None or image.kind == "l":
            continue
        initrds = (initrd.format(version) for initrd in _INITRD_NAMES)
        initrd = next((initrd for initrd in initrds if initrd in boot), "")
        kernels.append(Kernel(version, f"boot/{name}", initrd and f"boot/{initrd}"))
    return tuple(sorted(kernels, key=lambda kernel: natural(kernel.version), reverse=True))


def _network_stack(source: Source) -> NetworkStack:
    # It makes the files of the two that follow, and would not see any other.
    if there(source, "usr/sbin/netplan"):
        return "netplan"
    # Distributions enable the others by themselves: networkd was somebody's choice.
    if _enabled(source, "systemd-networkd.service"):
        return "systemd-networkd"
    if _enabled(source, "NetworkManager.service"):
        return "networkmanager"
    # A System V service, which chkconfig enables.
    if there(source, "etc/sysconfig/network-scripts/ifup-eth") and any(
        name.endswith("network") and name.startswith("S")
        for name in names(source, "etc/rc.d/rc3.d")
    ):
        return "ifcfg"
    if _enabled(source, "networking.service") and there(source, "sbin/ifup"):
        return "ifupdown"
    return "none"


def _resolver(source: Source) -> Resolver:
    if _enabled(source, "systemd-resolved.service"):
        return "systemd-resolved"
    return "resolvconf" if there(source, "sbin/resolvconf") else "none"


def _enabled(source: Source, unit: str) -> bool:
    paths = (os.fsencode(f"etc/systemd/system/{wants}/{unit}") for wants in _WANTS)
    return any(look(source, path) is not None for path in paths)
