# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk, a partition of it, and that as a place for a filesystem: what steps are about."""

from dataclasses import dataclass

from swarmstrap.layout import PartitionType
from swarmstrap.units import human


@dataclass(frozen=True, slots=True)
class DiskId:
    """The disk a step may touch. Effects compare all of it with the device before they write."""

    name: str
    size: int
    serial: str
    wwn: str
    by_path: str
    logical_sector: int

    def __str__(self) -> str:
        mark = self.serial or self.wwn or self.by_path or "no serial"
        return f"{self.name} ({human(self.size)}, {mark})"


@dataclass(frozen=True, slots=True)
class PlannedPartition:
    """`start` and `size` in bytes from the start of the disk; `uuid` is the GPT partition GUID."""

    number: int
    label: str
    type: PartitionType
    start: int
    size: int
    uuid: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A partition as a place for a filesystem: resolved to a device node when it is used."""

    disk: DiskId
    partition: PlannedPartition

    def __str__(self) -> str:
        return f"partition {self.partition.number} ({self.partition.label}) of {self.disk.name}"
