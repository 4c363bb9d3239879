# SPDX-License-Identifier: GPL-2.0-or-later
"""From a layout and the disks that are there to volumes with a place, a filesystem and UUIDs.

Every UUID is derived from (deployment, node, disk id, label): clones never share one, and the
same deployment on the same node gives the same again.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.hints import Match
from swarmstrap.layout import (
    DiskLayout,
    Format,
    Holder,
    Layout,
    Partition,
    PartitionType,
    Table,
)
from swarmstrap.layoutcheck import format_of
from swarmstrap.partitioning import BIOS_BOOT, Extent, place
from swarmstrap.selectors import select
from swarmstrap.volumes import DiskId, PartitionVolume, PlannedPartition, Volume

# Any fixed value does; this one was drawn once.
_NAMESPACE = uuid.UUID("b3f1d7ce-28a4-4bd0-9f5e-6a0c3ddc2f41")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose UUIDs are derived."""

    deployment: str
    node: str

    def derive(self, *names: str) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, "\0".join((self.deployment, self.node, *names)))


@dataclass(frozen=True, slots=True)
class PlacedMount:
    """`target` is a path of the installed system; `subvolume` the btrfs subvolume that shows."""

    target: str
    options: str
    subvolume: str = ""


@dataclass(frozen=True, slots=True)
class PlacedVolume:
    """`size` and `sector` in bytes; `uuid` is the filesystem's. `type` is a partition's."""

    volume: Volume
    label: str
    type: PartitionType | None
    size: int
    sector: int
    format: Format | None
    uuid: str
    mounts: tuple[PlacedMount, ...]


@dataclass(frozen=True, slots=True)
class PlacedDisk:
    """`uuid` is that of its new partition table."""

    id: DiskId
    uuid: str
    table: Table
    signatures: tuple[str, ...]
    volumes: tuple[PlacedVolume, ...]

    @property
    def partitions(self) -> tuple[PlannedPartition, ...]:
        volumes = (placed.volume for placed in self.volumes)
        return tuple(v.partition for v in volumes if isinstance(v, PartitionVolume))


def place_disks(
    layout: Layout, disks: Sequence[Disk], identity: Identity, skip: Sequence[Match] = ()
) -> list[PlacedDisk]:
    """Raises Unplannable when a disk is missing, ambiguous, too small or not to be wiped."""
    placed = []
    for wanted, key, disk, first in _chosen(layout, disks, skip):
        check_wipe(wanted, disk, _table(wanted, key, identity))
        placed.append(_place_disk(wanted, key, disk, first, identity))
    return placed


def find_disks(
    layout: Layout, disks: Sequence[Disk], identity: Identity, skip: Sequence[Match] = ()
) -> list[PlacedDisk]:
    """As they were placed before; raises Unplannable when their tables are not there."""
    placed = [
        _place_disk(wanted, key, disk, first, identity)
        for wanted, key, disk, first in _chosen(layout, disks, skip)
    ]
    for disk in placed:
        if _signature(disk.table, disk.uuid) not in disk.signatures:
            raise Unplannable(
                f"{disk.id.name} holds {', '.join(disk.signatures) or 'nothing'}, and not what "
                f"deployment {identity.deployment} wrote for {identity.node}",
                hint="an update needs what an earlier deployment left: deploy the node afresh",
            )
    return placed


def _chosen(
    layout: Layout, disks: Sequence[Disk], skip: Sequence[Match]
) -> Iterator[tuple[DiskLayout, str, Disk, bool]]:
    """Each chosen disk with its entry, a key of its own and whether it is the entry's first."""
    counts = [entry.count for entry in layout.disks]
    selections = select(layout.disks, disks, counts=counts, skip=skip)
    for entry, selection in zip(layout.disks, selections, strict=True):
        # By what stays with a disk, for names change from boot to boot.
        alike = sorted(selection.disks, key=lambda d: (d.serial, d.wwn, d.by_path, d.name))
        for number, disk in enumerate(alike, start=1):
            key = entry.id if entry.count == 1 else f"{entry.id}-{number}"
            yield entry, key, disk, number == 1


def _table(layout: DiskLayout, key: str, identity: Identity) -> str:
    table = identity.derive(key, "table")
    return str(table) if layout.ptable == "gpt" else table.hex[:8]


def _signature(table: Table, uuid: str) -> str:
    """How the inventory shows a disk with that table: in blkid's words."""
    return f"{'gpt' if table == 'gpt' else 'dos'} {uuid}"


def _place_disk(
    layout: DiskLayout, key: str, disk: Disk, first: bool, identity: Identity
) -> PlacedDisk:
    try:
        extents = place(
            partitions_of(layout),
            disk_size=disk.size,
            logical_sector=disk.logical_sector,
            optimal_io=disk.optimal_io,
        )
    except Unplannable as error:
        raise Unplannable(
            f"{layout.id} does not fit on {disk.name}: {error.message}", hint=error.hint
        ) from error
    found = identify(disk)
    table = _table(layout, key, identity)
    volumes = []
    for number, extent in enumerate(extents, start=1):
        named = f"{table}-{number:02x}" if layout.ptable == "msdos" else ""
        volumes.append(_place_partition(key, found, number, extent, identity, named, first))
    return PlacedDisk(found, table, layout.ptable, disk.signatures, tuple(volumes))


def partitions_of(layout: DiskLayout) -> tuple[Partition, ...]:
    """With the one where GRUB may have to boot from: a layout serves BIOS and UEFI."""
    bootable = any(
        p.mount in ("/", "/boot") or p.type in ("root", "raid", "lvm", "luks") or p.subvolumes
        for p in layout.partitions
    )
    has_one = any(p.type == BIOS_BOOT.type for p in layout.partitions)
    if layout.ptable == "gpt" and bootable and not has_one:
        return (BIOS_BOOT, *layout.partitions)
    return layout.partitions


def _place_partition(
    key: str,
    disk: DiskId,
    number: int,
    extent: Extent,
    identity: Identity,
    msdos_uuid: str,
    first: bool,
) -> PlacedVolume:
    partition = extent.partition
    planned = PlannedPartition(
        number=number,
        label=partition.label,
        type=partition.type,
        start=extent.start,
        size=extent.size,
        uuid=msdos_uuid or str(identity.derive(key, partition.label, "partition")),
    )
    form = format_of(partition)
    return PlacedVolume(
        volume=PartitionVolume(disk, planned),
        label=partition.label,
        type=partition.type,
        size=extent.size,
        sector=disk.logical_sector,
        format=form,
        uuid=filesystem_id(form, identity.derive(key, partition.label, "filesystem")),
        # Of disks that are alike, what the first one holds is mounted.
        mounts=mounts_of(partition) if first else (),
    )


def mounts_of(holder: Holder) -> tuple[PlacedMount, ...]:
    """Where what it holds is seen: itself, or its subvolumes."""
    if holder.subvolumes:
        return tuple(
            PlacedMount(sub.mount, sub.mount_options, sub.name)
            for sub in holder.subvolumes
            if sub.mount
        )
    return (PlacedMount(holder.mount, holder.mount_options),) if holder.mount else ()


def identify(disk: Disk) -> DiskId:
    return DiskId(disk.name, disk.size, disk.serial, disk.wwn, disk.by_path, disk.logical_sector)


def check_wipe(layout: DiskLayout, disk: Disk, own_table: str = "") -> None:
    """Raises Unplannable for foreign data. A table of this very deployment is none: an earlier
    attempt wrote it.
    """
    own = own_table and _signature(layout.ptable, own_table) in disk.signatures
    if layout.wipe == "anything" or not disk.signatures or own:
        return
    raise Unplannable(
        f"{disk.name} holds {', '.join(disk.signatures)}, and the layout of {layout.id} only "
        "takes an empty disk",
        hint="write `wipe: anything` in the layout to replace it",
    )


def filesystem_id(form: Format | None, filesystem: uuid.UUID) -> str:
    """As the filesystem writes its UUID: vfat has eight digits of it."""
    digits = filesystem.hex[:8].upper()
    return f"{digits[:4]}-{digits[4:]}" if form == "vfat" else str(filesystem)
