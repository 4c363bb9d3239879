# SPDX-License-Identifier: GPL-2.0-or-later
"""From a layout and the disks that are there to volumes with a place, a filesystem and UUIDs.

Every UUID is derived from (deployment, node, disk id, label): clones never share one, and the
same deployment on the same node gives the same again.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.foreign import check_wipe
from swarmstrap.hardware import Disk, FoundPartition
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
from swarmstrap.preserved import find_preserved
from swarmstrap.selectors import select
from swarmstrap.units import Bytes
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
    """`size` and `sector` in bytes; `uuid` is the filesystem's. `type` is a partition's.

    `subvolumes` are all to be made, also those that nothing mounts. One that is `preserved` is
    there already: the new system mounts it, its installer does not.
    """

    volume: Volume
    label: str
    type: PartitionType | None
    size: int
    sector: int
    format: Format | None
    uuid: str
    mounts: tuple[PlacedMount, ...]
    subvolumes: tuple[str, ...] = ()
    preserved: bool = False


@dataclass(frozen=True, slots=True)
class PlacedDisk:
    """`uuid` is that of its new partition table, `found` are the partitions of the present one;
    `active` is the number of the partition by which an MBR boots.
    """

    id: DiskId
    uuid: str
    table: Table
    signatures: tuple[str, ...]
    found: tuple[FoundPartition, ...]
    volumes: tuple[PlacedVolume, ...]
    active: int

    @property
    def own(self) -> bool:
        """Whether the table is the planned one, in blkid's words: an earlier attempt wrote it."""
        return f"{'gpt' if self.table == 'gpt' else 'dos'} {self.uuid}" in self.signatures

    @property
    def present(self) -> bool:
        """Whether every partition of an own table is where it is to be."""
        there = {(p.number, p.start, p.size, p.uuid.lower()) for p in self.found}
        return self.own and there == {(p.number, p.start, p.size, p.uuid) for p in self.partitions}

    @property
    def kept(self) -> tuple[PlannedPartition, ...]:
        volumes = (placed.volume for placed in self.volumes if placed.preserved)
        return tuple(v.partition for v in volumes if isinstance(v, PartitionVolume))

    @property
    def partitions(self) -> tuple[PlannedPartition, ...]:
        volumes = (placed.volume for placed in self.volumes)
        return tuple(v.partition for v in volumes if isinstance(v, PartitionVolume))


def place_disks(
    layout: Layout, disks: Sequence[Disk], identity: Identity, skip: Sequence[Match] = ()
) -> list[PlacedDisk]:
    """Raises Unplannable when a disk is missing, ambiguous, too small or not to be wiped, and when
    what is to be preserved is not there.
    """
    placed = []
    for chosen, disk in _placed(layout, disks, identity, skip):
        kept = [partition.number for partition in disk.kept]
        check_wipe(chosen.layout, chosen.disk, own=disk.own, kept=kept)
        placed.append(disk)
    return placed


def find_disks(
    layout: Layout, disks: Sequence[Disk], identity: Identity, skip: Sequence[Match] = ()
) -> list[PlacedDisk]:
    """As they were placed before; raises Unplannable when their tables are not there."""
    placed = [disk for _, disk in _placed(layout, disks, identity, skip)]
    for disk in placed:
        if not disk.own:
            raise Unplannable(
                f"{disk.id.name} holds {', '.join(disk.signatures) or 'nothing'}, and not what "
                f"deployment {identity.deployment} wrote for {identity.node}",
                hint="an update needs what an earlier deployment left: deploy the node afresh",
            )
    return placed


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A disk, the entry it was chosen for and whether it is the first of that; its own `key`."""

    layout: DiskLayout
    key: str
    disk: Disk
    first: bool


def _placed(
    layout: Layout, disks: Sequence[Disk], identity: Identity, skip: Sequence[Match]
) -> Iterator[tuple[_Chosen, PlacedDisk]]:
    has_esp = False
    for chosen in _chosen(layout, disks, skip):
        disk = _place_disk(chosen, identity, mount_esp=not has_esp)
        # Not what the layout lists: an ESP may have been dropped where it has no room.
        has_esp = has_esp or any(volume.type == "esp" for volume in disk.volumes)
        yield chosen, disk


def _chosen(layout: Layout, disks: Sequence[Disk], skip: Sequence[Match]) -> Iterator[_Chosen]:
    selections = select(layout.disks, disks, skip=skip)
    for entry, selection in zip(layout.disks, selections, strict=True):
        # By what stays with a disk, for names change from boot to boot.
        alike = sorted(selection.disks, key=lambda d: (d.serial, d.wwn, d.by_path, d.name))
        for number, disk in enumerate(alike, start=1):
            key = entry.id if entry.count == 1 else f"{entry.id}-{number}"
            yield _Chosen(entry, key, disk, number == 1)


def _place_disk(chosen: _Chosen, identity: Identity, *, mount_esp: bool) -> PlacedDisk:
    layout, disk = chosen.layout, chosen.disk
    stays = find_preserved(layout, disk)
    kept = [
        Extent(partition, there.number, Bytes(there.start), Bytes(there.size))
        for partition in layout.partitions
        if (there := stays.get(partition.label))
    ]
    try:
        extents = place(
            partitions_of(layout),
            disk_size=disk.size,
            logical_sector=disk.logical_sector,
            optimal_io=disk.optimal_io,
            table=layout.ptable,
            kept=kept,
        )
    except Unplannable as error:
        raise Unplannable(
            f"{layout.id} does not fit on {disk.name}: {error.message}", hint=error.hint
        ) from error
    table = identity.derive(chosen.key, "table")
    uuid = str(table) if layout.ptable == "gpt" else table.hex[:8]
    return PlacedDisk(
        id=identify(disk),
        uuid=uuid,
        table=layout.ptable,
        signatures=disk.signatures,
        found=disk.partitions,
        volumes=tuple(
            _place_partition(
                chosen,
                extent,
                identity,
                uuid,
                stays.get(extent.partition.label),
                # Of disks that are alike, what the first one holds; of all ESPs the first.
                mounted=mount_esp if extent.partition.type == "esp" else chosen.first,
            )
            for extent in extents
        ),
        active=_active(extents) if layout.ptable == "msdos" else 0,
    )


def partitions_of(layout: DiskLayout) -> tuple[Partition, ...]:
    """With the one where GRUB may have to boot from: a layout serves BIOS and UEFI."""
    partitions = layout.partitions
    bootable = any(
        {"/", "/boot"} & _targets(p) or p.type in ("root", "raid", "lvm", "luks")
        for p in partitions
    )
    has_one = any(p.type == BIOS_BOOT.type for p in partitions)
    if layout.ptable == "msdos" or has_one or not bootable:
        return partitions
    # Before a partition that is there already may be no room.
    first = next((i for i, p in enumerate(partitions) if not p.preserve), len(partitions))
    return (*partitions[:first], BIOS_BOOT, *partitions[first:])


def _active(extents: Sequence[Extent]) -> int:
    """Some BIOSes start no disk without an active partition: the one with /boot, or below it."""

    def rank(extent: Extent) -> int:
        targets = _targets(extent.partition)
        built_upon = extent.partition.type in ("raid", "lvm", "luks")
        return 3 if "/boot" in targets else 2 if "/" in targets else 1 if built_upon else 0

    best = max(extents, key=rank, default=None)
    return best.number if best and rank(best) else 0


def _place_partition(
    chosen: _Chosen,
    extent: Extent,
    identity: Identity,
    table: str,
    stays: FoundPartition | None,
    *,
    mounted: bool,
) -> PlacedVolume:
    partition, key, disk = extent.partition, chosen.key, identify(chosen.disk)
    form = format_of(partition)
    filesystem = filesystem_id(form, identity.derive(key, partition.label, "filesystem"))
    if chosen.layout.ptable == "msdos":
        uuid = f"{table}-{extent.number:02x}"  # as the kernel and blkid make it up
    elif stays:
        uuid = stays.uuid.lower()
    else:
        uuid = str(identity.derive(key, partition.label, "partition"))
    planned = PlannedPartition(
        number=extent.number,
        label=partition.label,
        type=partition.type,
        start=extent.start,
        size=extent.size,
        uuid=uuid,
    )
    return PlacedVolume(
        volume=PartitionVolume(disk, planned),
        label=partition.label,
        type=partition.type,
        size=extent.size,
        sector=disk.logical_sector,
        format=form,
        uuid=stays.filesystem_uuid if stays else filesystem,
        mounts=mounts_of(partition) if mounted else (),
        subvolumes=subvolumes_of(partition),
        preserved=stays is not None,
    )


def subvolumes_of(holder: Holder) -> tuple[str, ...]:
    return tuple(subvolume.name for subvolume in holder.subvolumes)


def _targets(partition: Partition) -> set[str]:
    return {mount.target for mount in mounts_of(partition)}


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


def filesystem_id(form: Format | None, filesystem: uuid.UUID) -> str:
    """As the filesystem writes its UUID: vfat has eight digits of it."""
    digits = filesystem.hex[:8].upper()
    return f"{digits[:4]}-{digits[4:]}" if form == "vfat" else str(filesystem)
