# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plan needs to know about an image, read from its files and never from this machine."""

import os
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from swarmstrap.errors import BadInput
from swarmstrap.index import ROOT, Entry
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
from swarmstrap_server.images.source import Source, joined

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
_GRUB_PLACES = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")
_WANTS = ("multi-user.target.wants", "network-online.target.wants", "sysinit.target.wants")
_MAX_LINKS = 40
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
    return Facts(
        os_id=os_id if WORD.fullmatch(os_id) else "",
        os_name=release.get("PRETTY_NAME", release.get("NAME", "")),
        os_version=release.get("VERSION_ID", ""),
        kernels=_kernels(source),
        grub_targets=_grub_targets(source),
        network_stack=_network_stack(source),
        resolver=_resolver(source),
        cloud_init=_there(source, "etc/cloud/cloud.cfg"),
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


def inside(source: Source, path: str) -> Entry | None:
    """What is at `path` with links followed as if the source were `/`; None when nothing is."""
    pending = os.fsencode(path).split(b"/")[::-1]
    done = [ROOT]
    links = 0
    while pending:
        name = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            done = done[:-1] or done
            continue
        place = joined(done[-1], name)
        entry = look(source, place)
        if entry is None:
            return None
        if entry.kind != "l":
            done.append(place)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if entry.target.startswith(b"/"):
            done = [ROOT]
        pending.extend(entry.target.split(b"/")[::-1])
    return look(source, done[-1])


def look(source: Source, path: bytes) -> Entry | None:
    found = source.look(path)
    return None if found is None else found.entry


def first_bytes(source: Source, path: str, size: int) -> bytes | None:
    """Of the file at `path`, links followed; None when there is no such file."""
    entry = inside(source, path)
    if entry is None or entry.kind != "f":
        return None
    with source.open(entry) as data:
        return data.pread(size, 0)


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
    names = _names(source, "boot")
    kernels = []
    for name in names:
        version = next((name.removeprefix(n) for n in _KERNEL_NAMES if name.startswith(n)), "")
        image = look(source, os.fsencode(f"boot/{name}"))
        if not KERNEL_VERSION.fullmatch(version) or "rescue" in version:
            continue
        if image is None or image.kind == "l":
            continue
        initrds = (initrd.format(version) for initrd in _INITRD_NAMES)
        initrd = next((initrd for initrd in initrds if initrd in names), "")
        kernels.append(Kernel(version, f"boot/{name}", initrd and f"boot/{initrd}"))
    return tuple(sorted(kernels, key=lambda kernel: natural(kernel.version), reverse=True))


def _grub_targets(source: Source) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                name
                for place in _GRUB_PLACES
                for name in _names(source, place)
                if WORD.fullmatch(name) and inside(source, f"{place}/{name}/normal.mod") is not None
            }
        )
    )


def _names(source: Source, directory: str) -> list[str]:
    """Of what is in a directory, links followed; none when there is no such directory."""
    entry = inside(source, directory)
    if entry is None or entry.kind != "d":
        return []
    return [os.fsdecode(name) for name in source.names(entry.path)]


def _network_stack(source: Source) -> NetworkStack:
    # It makes the files of the two that follow, and would not see any other.
    if _there(source, "usr/sbin/netplan"):
        return "netplan"
    # Distributions enable the others by themselves: networkd was somebody's choice.
    if _enabled(source, "systemd-networkd.service"):
        return "systemd-networkd"
    if _enabled(source, "NetworkManager.service"):
        return "networkmanager"
    # A System V service, which chkconfig enables.
    if _there(source, "etc/sysconfig/network-scripts/ifup-eth") and any(
        name.endswith("network") and name.startswith("S")
        for name in _names(source, "etc/rc.d/rc3.d")
    ):
        return "ifcfg"
    if _enabled(source, "networking.service") and _there(source, "sbin/ifup"):
        return "ifupdown"
    return "none"


def _resolver(source: Source) -> Resolver:
    if _enabled(source, "systemd-resolved.service"):
        return "systemd-resolved"
    return "resolvconf" if _there(source, "sbin/resolvconf") else "none"


def _there(source: Source, path: str) -> bool:
    return inside(source, path) is not None


def _enabled(source: Source, unit: str) -> bool:
    paths = (os.fsencode(f"etc/systemd/system/{wants}/{unit}") for wants in _WANTS)
    return any(look(source, path) is not None for path in paths)
