# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies on a disk, and what uses it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.command import Completed
from swarmstrap.effects.hardware import sysfs
from swarmstrap.effects.hardware.sysfs import text
from swarmstrap.effects.run import run
from swarmstrap.hardware import FoundPartition
from swarmstrap.units import MiB

_PROBE_SECONDS = 60.0
_BLKID_NOTHING = 2
_BLKID_AMBIVALENT = 8
_MARKS = {
    "PTUUID": "table UUID",
    "PART_ENTRY_UUID": "partition UUID",
    "UUID": "filesystem UUID",
    "LABEL": "filesystem label",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """`signatures` are `gpt UUID` for a table, `ext4 (vda1, label root)` for what lies on the
    disk or in its partitions; `labels` are those of filesystems.
    """

    signatures: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    partitions: tuple[FoundPartition, ...] = ()


def probe(disk: Path) -> Contents:
    """Reads the disk of the sysfs folder `disk`. Blocking."""
    signatures: list[str] = []
    labels: set[str] = set()
    partitions: list[FoundPartition] = []
    for path in (disk, *parts(disk)):
        probed = _blkid(path)
        if probed.returncode == _BLKID_AMBIVALENT:
            signatures.append(f"several kinds of data ({path.name})")
        elif probed.returncode not in (0, _BLKID_NOTHING) or probed.stderr or not _readable(path):
            signatures.append(f"unreadable data ({path.name})")
        found = _words(probed)
        if path == disk and "PTTYPE" in found:
            signatures.append(f"{found['PTTYPE']} {found.get('PTUUID', '')}".strip())
        if "TYPE" in found:
            label = f", label {found['LABEL']}" if "LABEL" in found else ""
            signatures.append(f"{found['TYPE']} ({path.name}{label})")
        if "LABEL" in found:
            labels.add(found["LABEL"])
        if path != disk:
            partitions.append(partition(path, found))
    in_order = sorted(partitions, key=lambda found: found.start)
    return Contents(tuple(signatures), frozenset(labels), tuple(in_order))


def partition(path: Path, found: Mapping[str, str]) -> FoundPartition:
    """Of a sysfs folder and of what blkid found there."""
    start, size = sysfs.extent(path)
    return FoundPartition(
        number=sysfs.number(path / "partition"),
        start=start,
        size=size,
        type=found.get("PART_ENTRY_TYPE", ""),
        uuid=found.get("PART_ENTRY_UUID", ""),
        name=found.get("PART_ENTRY_NAME", ""),
        filesystem=found.get("TYPE", ""),
        filesystem_uuid=found.get("UUID", ""),
        label=found.get("LABEL", ""),
    )


def marks(disk: Path) -> Iterator[tuple[str, str]]:
    """Everything by which a system may look for the disk or a part of it, with its node."""
    for path in (disk, *parts(disk)):
        found = _words(_blkid(path))
        for key, what in _MARKS.items():
            if key in found:
                yield f"{what} {found[key]}", f"/dev/{path.name}"


def users(disk: Path) -> Iterator[str]:
    """What uses the disk now: devices on top of it, mount points, swap."""
    for path in (disk, *parts(disk)):
        yield from sorted(holder.name for holder in (path / "holders").iterdir())
        yield from uses(path)


def uses(device: Path) -> Iterator[str]:
    """Where this very device is mounted, and whether it is swap."""
    number = text(device / "dev")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == number:
            yield fields[4]
    # A btrfs may have many devices, so mounts show a number of its own.
    for path in (sysfs.SYS / "fs/btrfs").glob(f"*/devices/{device.name}"):
        yield f"btrfs {path.parents[1].name}"
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        if line.split()[0] == f"/dev/{device.name}":
            yield "swap"


def parts(disk: Path) -> list[Path]:
    """The partitions of the disk, as sysfs folders."""
    return sorted(path.parent for path in disk.glob("*/partition"))


def is_path(disk: Path) -> bool:
    """Whether a multipath device has taken the disk as one of its paths."""
    return any(text(uuid).startswith("mpath-") for uuid in disk.glob("holders/*/dm/uuid"))


def _blkid(path: Path) -> Completed:
    command = ["blkid", "--probe", "--output", "export", f"/dev/{path.name}"]
    return run(command, timeout=_PROBE_SECONDS, check=False)


def _readable(path: Path) -> bool:
    """Whether both ends are, where data have their marks: blkid takes an I/O error for no data."""
    try:
        device = os.open(f"/dev/{path.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.lseek(device, 0, os.SEEK_END)
            for offset in (0, max(0, size - MiB)):
                os.pread(device, MiB, offset)
        finally:
            os.close(device)
    except OSError:
        return False
    return True


def _words(probed: Completed) -> dict[str, str]:
    return dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)
