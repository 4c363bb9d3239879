# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware's boot entries, read and written as the kernel shows them: a file a variable.

Without efibootmgr, whose output changes from version to version. The kernel checks what is
written here before the firmware sees it, and leaves these variables open to change.
"""

import contextlib
import logging
import os
import re
import struct
from pathlib import Path

from swarmstrap.effects.hardware import sysfs
from swarmstrap.efi import Change, Entry, Firmware, change, decode
from swarmstrap.errors import BadInput
from swarmstrap.steps.system import AddBootEntries

log = logging.getLogger(__name__)

_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
_ENTRY = re.compile(rf"Boot([0-9A-F]{{4}})-{_GLOBAL}")
_ATTRIBUTES = struct.pack("<I", 7)  # kept, for boot services and for the running system
_PARTITIONS = Path("/dev/disk/by-partuuid")


def add_entries(step: AddBootEntries) -> tuple[str, ...]:
    """Returns warnings, one line each: what lies on the ESP is found without an entry, too, so
    firmware that refuses one does not fail a deployment.
    """
    folder = sysfs.efi_variables()
    labels = [step.label, *(f"{step.label} {n}" for n in range(2, len(step.esps) + 1))]
    try:
        firmware = _read(folder)
        changed = change(
            firmware,
            dict(zip(labels, step.esps, strict=True)),
            step.loader,
            {path.name.lower() for path in _PARTITIONS.glob("*")},
            step.order,
            step.netbooted,
        )
        _write(folder, changed, firmware)
    except OSError as error:
        return (f"the firmware refused a boot entry, and looks at the ESP itself: {error}",)
    return ()


def _read(folder: Path) -> Firmware:
    entries: dict[int, Entry] = {}
    for path in folder.glob("Boot*"):
        match = _ENTRY.fullmatch(path.name)
        if match:
            try:
                entry = decode(path.read_bytes()[len(_ATTRIBUTES) :])
            except BadInput as error:
                log.info("%s: %s", path.name, error)
                entry = Entry("", "", "", network=False)
            entries[int(match[1], 16)] = entry
    current = _numbers(folder, "BootCurrent")
    return Firmware(entries, _numbers(folder, "BootOrder"), current[0] if current else None)


def _numbers(folder: Path, name: str) -> tuple[int, ...]:
    try:
        data = (folder / f"{name}-{_GLOBAL}").read_bytes()[len(_ATTRIBUTES) :]
    except FileNotFoundError:
        return ()
    return tuple(number for (number,) in struct.iter_unpack("<H", data[: len(data) // 2 * 2]))


def _write(folder: Path, changed: Change, firmware: Firmware) -> None:
    """The order last, so that it names what is there."""
    for number in changed.removed:
        log.info("boot entry %04X, %s, goes", number, firmware.entries[number].label)
        with contextlib.suppress(FileNotFoundError):
            _path(folder, number).unlink()
    for number, variable in changed.written.items():
        _set(_path(folder, number), variable)
    if changed.order != firmware.order:
        order = struct.pack(f"<{len(changed.order)}H", *changed.order)
        _set(folder / f"BootOrder-{_GLOBAL}", order)
    log.info("boot order %s", " ".join(f"{number:04X}" for number in changed.order))


def _path(folder: Path, number: int) -> Path:
    return folder / f"Boot{number:04X}-{_GLOBAL}"


def _set(path: Path, value: bytes) -> None:
    """In one write(2), which the kernel makes one call of the firmware."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, _ATTRIBUTES + value)
    finally:
        os.close(descriptor)
