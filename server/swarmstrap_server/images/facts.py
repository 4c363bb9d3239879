# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plan needs to know about an image, read from its files and never from this machine."""

import os
import re
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.manifest import Facts, Kernel, NetworkStack

# e_machine of elf(5), as `uname -m` says it.
_MACHINES = {
    3: "i686",
    21: "ppc64le",
    22: "s390x",
    40: "armv7l",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_PROGRAMS = ("bin/sh", "usr/bin/sh", "sbin/init", "usr/lib/systemd/systemd")
_KERNEL_NAMES = ("vmlinuz-", "vmlinux-", "Image-")
_INITRD_NAMES = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img")
_GRUB_PLACES = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")
_WANTS = ("multi-user.target.wants", "network-online.target.wants", "sysinit.target.wants")
_MAX_LINKS = 40


def read_facts(root: Path) -> Facts:
    release = _os_release(root)
    return Facts(
        os_id=release.get("ID", ""),
        os_name=release.get("PRETTY_NAME", release.get("NAME", "")),
        os_version=release.get("VERSION_ID", ""),
        kernels=_kernels(root),
        grub_targets=_grub_targets(root),
        network_stack=_network_stack(root),
    )


def read_architecture(root: Path) -> str:
    """As in `uname -m`; raises BadInput when the tree has no program that tells."""
    for name in _PROGRAMS:
        program = inside(root, name)
        if program is None or not program.is_file():
            continue
        with program.open("rb") as file:
            head = file.read(20)
        if head[:4] == b"\x7fELF" and len(head) == 20:
            machine = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
            return _MACHINES.get(machine, f"elf-{machine}")
    raise BadInput(
        f"{root} has no program that tells its architecture (looked for {', '.join(_PROGRAMS)})",
        hint="name the root of an installed system",
    )


def inside(root: Path, path: str) -> Path | None:
    """`path` with links followed as if `root` were `/`; None when there is no such file."""
    pending = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del done[-1:]
            continue
        place = root.joinpath(*done, name)
        if place.is_symlink():
            links += 1
            if links > _MAX_LINKS:
                return None
            target = os.readlink(place)
            if target.startswith("/"):
                done = []
            pending.extend(target.split("/")[::-1])
            continue
        done.append(name)
    resolved = root.joinpath(*done)
    return resolved if resolved.exists() else None


def natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key in which 6.10 comes after 6.9."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _os_release(root: Path) -> dict[str, str]:
    for name in ("etc/os-release", "usr/lib/os-release"):
        file = inside(root, name)
        if file is not None:
            lines = file.read_text(errors="replace").splitlines()
            pairs = (line.partition("=") for line in lines if not line.startswith("#"))
            return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if key}
    return {}


def _kernels(root: Path) -> tuple[Kernel, ...]:
    """Newest first; rescue images are none."""
    boot = inside(root, "boot")
    if boot is None:
        return ()
    kernels = []
    for file in boot.iterdir():
        version = next(
            (file.name.removeprefix(n) for n in _KERNEL_NAMES if file.name.startswith(n)), ""
        )
        if not version or "rescue" in version or file.is_symlink():
            continue
        initrds = (name.format(version) for name in _INITRD_NAMES)
        initrd = next((name for name in initrds if (boot / name).is_file()), "")
        kernels.append(Kernel(version, f"boot/{file.name}", initrd and f"boot/{initrd}"))
    return tuple(sorted(kernels, key=lambda kernel: natural(kernel.version), reverse=True))


def _grub_targets(root: Path) -> tuple[str, ...]:
    targets = set()
    for place in _GRUB_PLACES:
        directory = inside(root, place)
        if directory is not None:
            targets |= {entry.name for entry in directory.iterdir() if _has_modules(entry)}
    return tuple(sorted(targets))


def _has_modules(directory: Path) -> bool:
    return (directory / "normal.mod").is_file()


def _network_stack(root: Path) -> NetworkStack:
    # Distributions enable the last two by themselves: networkd was somebody's choice.
    if _enabled(root, "systemd-networkd.service"):
        return "systemd-networkd"
    if _enabled(root, "NetworkManager.service"):
        return "networkmanager"
    if _enabled(root, "networking.service") and inside(root, "sbin/ifup") is not None:
        return "ifupdown"
    return "none"


def _enabled(root: Path, unit: str) -> bool:
    return any(os.path.lexists(root / "etc/systemd/system" / wants / unit) for wants in _WANTS)
