# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that make disks ready: tables, filesystems, mounts."""

from dataclasses import dataclass

from swarmstrap.layout import Format
from swarmstrap.manifest import PartitionTable
from swarmstrap.units import human
from swarmstrap.volumes import DiskId, PlannedPartition, Volume


@dataclass(frozen=True, slots=True)
class WipeDisk:
    disk: DiskId
    signatures: tuple[str, ...]

    def __str__(self) -> str:
        found = ", ".join(self.signatures) or "nothing known"
        return f"wipe {self.disk}, which holds {found}"


@dataclass(frozen=True, slots=True)
class WritePartitionTable:
    disk: DiskId
    uuid: str
    partitions: tuple[PlannedPartition, ...]

    def __str__(self) -> str:
        parts = ", ".join(f"{p.label} {human(p.size)}" for p in self.partitions)
        return f"write a GPT to {self.disk}: {parts}"


@dataclass(frozen=True, slots=True)
class MakeFilesystem:
    """`uuid` is a filesystem UUID; for vfat its 8 hex digits as `XXXX-XXXX`."""

    volume: Volume
    format: Format
    label: str
    uuid: str

    def __str__(self) -> str:
        return f"make {self.format} {self.uuid} on {self.volume}"


@dataclass(frozen=True, slots=True)
class MountVolume:
    """`target` is a path of the installed system, `/` first."""

    volume: Volume
    format: Format
    target: str
    options: str

    def __str__(self) -> str:
        return f"mount {self.volume} at {self.target}"


@dataclass(frozen=True, slots=True)
class ProveTable:
    """The disk has this very table already: written for this node, with these partitions."""

    disk: DiskId
    uuid: str
    partitions: tuple[PlannedPartition, ...]

    def __str__(self) -> str:
        return f"make sure that {self.disk} has the {len(self.partitions)} partitions of this node"


@dataclass(frozen=True, slots=True)
class Growth:
    """Partition `number`, or the whole disk when that is 0, and the filesystem in it; `start` and
    `size`, to which it grows, in bytes.
    """

    number: int
    filesystem: str
    start: int
    size: int

    def __str__(self) -> str:
        place = f"partition {self.number} with its" if self.number else "the"
        return f"{place} {self.filesystem} to {human(self.size)}"


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """The image's table comes to fit a larger disk; what cannot grow stays as it is."""

    disk: DiskId
    table: PartitionTable
    growth: Growth | None

    def __str__(self) -> str:
        table = ["move the backup GPT to the end"] if self.table == "gpt" else []
        growing = f"grow {self.growth}" if self.growth else "leave the partitions as they are"
        return f"on {self.disk.name} {' and '.join([*table, growing])}"


@dataclass(frozen=True, slots=True)
class CheckClones:
    disk: DiskId

    def __str__(self) -> str:
        return f"look for UUIDs and labels of {self.disk.name} on the other disks"


StorageStep = (
    WipeDisk
    | WritePartitionTable
    | MakeFilesystem
    | MountVolume
    | ProveTable
    | GrowDisk
    | CheckClones
)
