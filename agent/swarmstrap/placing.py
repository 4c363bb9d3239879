# SPDX-License-Identifier: GPL-2.0-or-later
"""From a layout and the disks that are there to volumes with a place, a filesystem and UUIDs.

Every UUID is derived from (deployment, node, disk id, label): clones never share one, and the
same deployment on the same node gives the same again.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.layout import DiskLayout, Format, Layout
from swarmstrap.layoutcheck import format_of
from swarmstrap.partitioning import BIOS_BOOT, Extent, place
from swarmstrap.selectors import choose
from swarmstrap.volumes import DiskId, PlannedPartition, Volume

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
class PlacedVolume:
    """`uuid` is the filesystem's, `mount` empty when it is not mounted in the installed system."""

    volume: Volume
    format: Format | None
    uuid: str
    mount: str
    options: str


@dataclass(frozen=True, slots=True)
class PlacedDisk:
    """`uuid` is the GUID of its new partition table."""

    id: DiskId
    uuid: str
    signatures: tuple[str, ...]
    volumes: tuple[PlacedVolume, ...]


def place_disks(layout: Layout, disks: Sequence[Disk], identity: Identity) -> list[PlacedDisk]:
    """Raises Unplannable when a disk is missing, ambiguous, too small or not to be wiped."""
    chosen = choose(layout.disks, disks)
    for wanted, disk in zip(layout.disks, chosen, strict=True):
        check_wipe(wanted, disk, _table(wanted, identity))
    return _place(layout, chosen, identity)


def find_disks(layout: Layout, disks: Sequence[Disk], identity: Identity) -> list[PlacedDisk]:
    """As they were placed before; raises Unplannable when their tables are not there."""
    placed = _place(layout, choose(layout.disks, disks), identity)
    for disk in placed:
        if f"gpt {disk.uuid}" not in disk.signatures:
            raise Unplannable(
                f"{disk.id.name} holds {', '.join(disk.signatures) or 'nothing'}, and not what "
                f"deployment {identity.deployment} wrote for {identity.node}",
                hint="an update needs what an earlier deployment left: deploy the node afresh",
            )
    return placed


def _place(layout: Layout, chosen: Sequence[Disk], identity: Identity) -> list[PlacedDisk]:
    return [
        _place_disk(wanted, disk, identity)
        for wanted, disk in zip(layout.disks, chosen, strict=True)
    ]


def _table(layout: DiskLayout, identity: Identity) -> str:
    return str(identity.derive(layout.id, "table"))


def _place_disk(layout: DiskLayout, disk: Disk, identity: Identity) -> PlacedDisk:
    table = _table(layout, identity)
    partitions = layout.partitions
    mounts = {partition.mount for partition in partitions}
    # Where GRUB may have to boot from: one layout serves BIOS and UEFI.
    if mounts & {"/", "/boot"} and all(p.type != BIOS_BOOT.type for p in partitions):
        partitions = (BIOS_BOOT, *partitions)
    try:
        extents = place(
            partitions,
            disk_size=disk.size,
            logical_sector=disk.logical_sector,
            optimal_io=disk.optimal_io,
        )
    except Unplannable as error:
        raise Unplannable(
            f"{layout.id} does not fit on {disk.name}: {error.message}", hint=error.hint
        ) from error
    found = identify(disk)
    volumes = tuple(
        _place_volume(layout.id, found, number, extent, identity)
        for number, extent in enumerate(extents, start=1)
    )
    return PlacedDisk(found, table, disk.signatures, volumes)


def _place_volume(
    disk: str, found: DiskId, number: int, extent: Extent, identity: Identity
) -> PlacedVolume:
    partition = extent.partition
    planned = PlannedPartition(
        number=number,
        label=partition.label,
        type=partition.type,
        start=extent.start,
        size=extent.size,
        uuid=str(identity.derive(disk, partition.label, "partition")),
    )
    form = format_of(partition)
    filesystem = identity.derive(disk, partition.label, "filesystem")
    return PlacedVolume(
        volume=Volume(found, planned),
        format=form,
        uuid=_volume_id(filesystem) if form == "vfat" else str(filesystem),
        mount=partition.mount,
        options=partition.mount_options,
    )


def identify(disk: Disk) -> DiskId:
    return DiskId(disk.name, disk.size, disk.serial, disk.wwn, disk.by_path, disk.logical_sector)


def check_wipe(layout: DiskLayout, disk: Disk, own_table: str = "") -> None:
    """Raises Unplannable for foreign data. A table of this very deployment is none: an earlier
    attempt wrote it.
    """
    own = own_table and f"gpt {own_table}" in disk.signatures
    if layout.wipe == "anything" or not disk.signatures or own:
        return
    raise Unplannable(
        f"{disk.name} holds {', '.join(disk.signatures)}, and the layout of {layout.id} only "
        "takes an empty disk",
        hint="write `wipe: anything` in the layout to replace it",
    )


def _volume_id(filesystem: uuid.UUID) -> str:
    digits = filesystem.hex[:8].upper()
    return f"{digits[:4]}-{digits[4:]}"
