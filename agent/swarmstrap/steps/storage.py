# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that make disks ready: tables, what lies between them and filesystems, mounts."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarmstrap.layout import Format, KeySource, RaidLevel, RaidMetadata, Table
from swarmstrap.manifest import PartitionTable
from swarmstrap.units import human
from swarmstrap.volumes import (
    ArrayVolume,
    CryptVolume,
    DiskId,
    LogicalVolume,
    PlannedPartition,
    Volume,
)


@dataclass(frozen=True, slots=True)
class ReleaseDisks:
    """Stop what runs on the disks, topmost first: volumes, LUKS, arrays. None of it is written."""

    disks: tuple[DiskId, ...]

    def __str__(self) -> str:
        return f"stop whatever uses {_listed(self.disks)}"


@dataclass(frozen=True, slots=True)
class WipeDisk:
    """Of a disk with `kept` partitions only the others are wiped, and not its table."""

    disk: DiskId
    signatures: tuple[str, ...]
    kept: tuple[PlannedPartition, ...] = ()

    def __str__(self) -> str:
        found = ", ".join(self.signatures) or "nothing known"
        kept = f" but for {_listed(part.label for part in self.kept)}" if self.kept else ""
        return f"wipe {self.disk}{kept}, which holds {found}"


@dataclass(frozen=True, slots=True)
class WritePartitionTable:
    """`uuid` is the GUID of a GPT, 8 hex digits in an MBR. `kept` are the numbers of partitions
    that are there and stay as they are; `active` is that of the one by which an MBR boots.
    """

    disk: DiskId
    uuid: str
    partitions: tuple[PlannedPartition, ...]
    table: Table
    kept: tuple[int, ...] = ()
    active: int = 0

    def __str__(self) -> str:
        new = [part for part in self.partitions if part.number not in self.kept]
        parts = ", ".join(f"{p.label} {human(p.size)}" for p in new)
        kept = ", ".join(p.label for p in self.partitions if p.number in self.kept)
        if kept:
            return f"change the table of {self.disk}: keep {kept}, make {parts}"
        return f"write {'a GPT' if self.table == 'gpt' else 'an MBR'} to {self.disk}: {parts}"


@dataclass(frozen=True, slots=True)
class MakeArray:
    """`spares` stand by, beside the `devices` that the array has."""

    volume: ArrayVolume
    level: RaidLevel
    devices: tuple[Volume, ...]
    spares: tuple[Volume, ...]
    metadata: RaidMetadata

    def __str__(self) -> str:
        spares = f", with {_listed(self.spares)} as spare" if self.spares else ""
        return f"make RAID{self.level} {self.volume.name} of {_listed(self.devices)}{spares}"


@dataclass(frozen=True, slots=True)
class MakeCrypt:
    """The key is no part of the plan: the job carries it. A TPM2 gets another one, once the system
    is there that will ask it.
    """

    volume: CryptVolume
    device: Volume
    key: KeySource

    def __str__(self) -> str:
        return f"encrypt {self.device} as {self.volume.name}, with a key that the server keeps"


@dataclass(frozen=True, slots=True)
class MakeGroup:
    name: str
    devices: tuple[Volume, ...]

    def __str__(self) -> str:
        return f"make volume group {self.name} of {_listed(self.devices)}"


@dataclass(frozen=True, slots=True)
class MakePool:
    """`size` in bytes, whole extents of the group."""

    volume: LogicalVolume
    size: int

    def __str__(self) -> str:
        return f"make thin pool {self.volume.name} of {human(self.size)} in {self.volume.group}"


@dataclass(frozen=True, slots=True)
class MakeLogical:
    """`size` in bytes, whole extents of the group; in a thin `pool` only what it seems to have."""

    volume: LogicalVolume
    size: int
    pool: str

    def __str__(self) -> str:
        pool = f", from pool {self.pool}" if self.pool else ""
        return f"make volume {self.volume.name} of {human(self.size)} in {self.volume.group}{pool}"


@dataclass(frozen=True, slots=True)
class OpenAgain:
    """What an earlier deployment made is there and comes to run."""

    made: MakeArray | MakeCrypt | MakeGroup

    def __str__(self) -> str:
        match self.made:
            case MakeGroup():
                return f"activate volume group {self.made.name}"
            case MakeArray():
                return f"start {self.made.volume}"
            case MakeCrypt():
                return f"open {self.made.volume}"


@dataclass(frozen=True, slots=True)
class MakeFilesystem:
    """`uuid` is a filesystem UUID; for vfat its 8 hex digits as `XXXX-XXXX`. `sectors` is the
    volume's size in logical sectors, by which FAT chooses its width.
    """

    volume: Volume
    format: Format
    label: str
    uuid: str
    sectors: int

    def __str__(self) -> str:
        return f"make {self.format} {self.uuid} on {self.volume}"


@dataclass(frozen=True, slots=True)
class MakeSubvolumes:
    """Of a btrfs that was just made and is not mounted."""

    volume: Volume
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"make subvolumes {', '.join(self.names)} on {self.volume}"


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
    ReleaseDisks
    | WipeDisk
    | WritePartitionTable
    | MakeArray
    | MakeCrypt
    | MakeGroup
    | MakePool
    | MakeLogical
    | OpenAgain
    | MakeFilesystem
    | MakeSubvolumes
    | MountVolume
    | ProveTable
    | GrowDisk
    | CheckClones
)


def _listed(things: Iterable[object]) -> str:
    return " and ".join(map(str, things))
