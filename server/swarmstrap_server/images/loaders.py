# SPDX-License-Identifier: GPL-2.0-or-later
"""What an image can be booted with: GRUB for which firmware, what is signed, which arguments."""

import re
from collections.abc import Iterator

from swarmstrap.manifest import KERNEL_ARGUMENT, WORD, GrubFolder, SignedBoot
from swarmstrap.units import KiB, MiB
from swarmstrap_server.images.looking import first_bytes, names, there
from swarmstrap_server.images.source import Source

_GRUB_PLACES = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")
_GRUB2 = ("usr/sbin/grub2-install", "usr/bin/grub2-install")
# How files of UEFI programs call the machine, and how directories do.
_MACHINES = (("x64", "x86_64"), ("aa64", "arm64"), ("aa64", "aarch64"))
_ESP = "boot/efi/EFI"
# Shim, GRUB and what manages keys, where distributions have them: Debian's, those that install
# into the ESP, SUSE's.
_SIGNED = (
    (
        "usr/lib/shim/shim{machine}.efi.signed",
        "usr/lib/grub/{folder}-efi-signed/grub{machine}.efi.signed",
        "usr/lib/shim/mm{machine}.efi.signed",
    ),
    (
        f"{_ESP}/{{vendor}}/shim{{machine}}.efi",
        f"{_ESP}/{{vendor}}/grub{{machine}}.efi",
        f"{_ESP}/{{vendor}}/mm{{machine}}.efi",
    ),
    (
        "usr/share/efi/{folder}/shim.efi",
        "usr/share/efi/{folder}/grub.efi",
        "usr/share/efi/{folder}/MokManager.efi",
    ),
)
# Where GRUB was told at its making to look for its configuration: its last string but the modules.
_PREFIX = re.compile(rb"/(EFI/[A-Za-z0-9][A-Za-z0-9._-]*)\0")
_MAX_GRUB = 16 * MiB
_SYSTEMD_BOOT = ("usr/lib/systemd/boot/efi/systemd-boot{}.efi", ("x64", "aa64"))

_GRUB_DEFAULTS = "etc/default/grub"
_OWN_DEFAULTS = "50-swarmstrap.cfg"
_KERNEL_CMDLINE = ("etc/kernel/cmdline", "usr/lib/kernel/cmdline")
_MAX_DEFAULTS = 64 * KiB
_ASSIGNED = re.compile(
    r"""^\s*(?:export\s+)?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=(["']?)(.*?)\2\s*(?:#.*)?$""", re.M
)
_EXPANDED = re.compile(r"\$\{?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)\}?")
# About the disks of the machine that was captured, or said by whoever boots the next one.
_OF_A_MACHINE = re.compile(
    r"(root|rootflags|rootfstype|resume|resume_offset|BOOT_IMAGE|BOOTIF|initrd|ip|cryptdevice|"
    r"cryptkey|luks\.[a-z.]+|rd\.(luks|md|lvm|dm)[a-z.]*|systemd\.machine_id|swarmstrap\..*)=.*|"
    r"r[ow]"
)


def grub_targets(source: Source) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                name
                for place in _GRUB_PLACES
                for name in names(source, place)
                if WORD.fullmatch(name) and there(source, f"{place}/{name}/normal.mod")
            }
        )
    )


def grub_folder(source: Source) -> GrubFolder:
    return "boot/grub2" if any(there(source, path) for path in _GRUB2) else "boot/grub"


def signed_boot(source: Source, os_id: str) -> SignedBoot | None:
    """The first set of which shim and GRUB are there."""
    vendors = [name for name in sorted(names(source, _ESP)) if name.upper() != "BOOT"]
    for machine, folder in _MACHINES:
        for paths in _SIGNED:
            for vendor in vendors if "{vendor}" in paths[0] else [""]:
                shim, grub, manager = (
                    path.format(machine=machine, folder=folder, vendor=vendor) for path in paths
                )
                if there(source, shim) and there(source, grub):
                    manager = manager if there(source, manager) else ""
                    place = _prefix(source, grub) or f"EFI/{vendor or os_id or 'linux'}"
                    return SignedBoot(shim=shim, grub=grub, manager=manager, folder=place)
    return None


def _prefix(source: Source, grub: str) -> str:
    found = _PREFIX.findall(first_bytes(source, grub, _MAX_GRUB) or b"")
    return found[-1].decode() if found else ""


def systemd_boot(source: Source) -> str:
    path, machines = _SYSTEMD_BOOT
    return next((p for p in map(path.format, machines) if there(source, p)), "")


def kernel_arguments(source: Source) -> tuple[str, ...]:
    """Those that the image's own boot loader gave every kernel, but for those of its machine and
    what a boot loader would not read as one plain word.
    """
    words = _grub_arguments(source) or next(
        (text.split() for path in _KERNEL_CMDLINE if (text := _text(source, path))), []
    )
    return tuple(
        word
        for word in words
        if KERNEL_ARGUMENT.fullmatch(word) and not _OF_A_MACHINE.fullmatch(word)
    )


def _grub_arguments(source: Source) -> list[str]:
    """In the order in which grub-mkconfig puts them together."""
    values: dict[str, str] = {}
    for path in _defaults(source):
        for name, _, value in _ASSIGNED.findall(_text(source, path)):
            values[name] = _EXPANDED.sub(lambda match: values.get(match[1], ""), value)
    both = (values.get(f"GRUB_CMDLINE_LINUX{which}", "") for which in ("", "_DEFAULT"))
    return " ".join(both).split()


def _defaults(source: Source) -> Iterator[str]:
    yield _GRUB_DEFAULTS
    for name in sorted(names(source, f"{_GRUB_DEFAULTS}.d")):
        if name.endswith(".cfg") and name != _OWN_DEFAULTS:
            yield f"{_GRUB_DEFAULTS}.d/{name}"


def _text(source: Source, path: str) -> str:
    return (first_bytes(source, path, _MAX_DEFAULTS) or b"").decode(errors="replace")
