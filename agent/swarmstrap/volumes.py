# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk, a partition of it, and what can hold a filesystem: what steps are about.

Volumes are stored in an installed system's record, and so are tagged structs.
"""

from dataclasses import dataclass

import msgspec

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


class PartitionVolume(msgspec.Struct, frozen=True, tag="partition"):
    """Found by its disk, its number and its place."""

    disk: DiskId
    partition: PlannedPartition

    def __str__(self) -> str:
        return f"partition {self.partition.number} ({self.partition.label}) of {self.disk.name}"


class ArrayVolume(msgspec.Struct, frozen=True, tag="array"):
    """An MD array, found by its UUID."""

    name: str
    uuid: str

    def __str__(self) -> str:
        return f"array {self.name}"


class CryptVolume(msgspec.Struct, frozen=True, tag="luks"):
    """What an opened LUKS2 volume shows; `uuid` is its header's."""

    name: str
    uuid: str

    def __str__(self) -> str:
        return f"LUKS volume {self.name}"


class LogicalVolume(msgspec.Struct, frozen=True, tag="logical"):
    """A volume of an LVM group."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"volume {self.name} of {self.group}"


# A place for a filesystem or for what lies below one: resolved to a device node when it is used.
Volume = PartitionVolume | ArrayVolume | CryptVolume | LogicalVolume


def mdadm_uuid(uuid: str) -> str:
    """As mdadm writes it: four groups of eight digits."""
    digits = uuid.replace("-", "")
    return ":".join(digits[place : place + 8] for place in range(0, 32, 8))
