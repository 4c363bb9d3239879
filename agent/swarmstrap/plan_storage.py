# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps that make disks ready: tables, what is built on them, filesystems, mounts."""

from collections.abc import Iterator

from swarmstrap.hardware import Inventory
from swarmstrap.placing import PlacedDisk
from swarmstrap.render import mount_options
from swarmstrap.stacking import Placed
from swarmstrap.steps.storage import (
    MakeFilesystem,
    MakeSubvolumes,
    MountVolume,
    ProveTable,
    ReleaseDisks,
    StorageStep,
    WipeDisk,
    WritePartitionTable,
)


def storage_steps(inventory: Inventory, placed: Placed) -> Iterator[StorageStep]:
    """Everything from the first wipe to the last mount."""
    names = {disk.id.name for disk in placed.disks}
    if placed.making or any(disk.holders for disk in inventory.disks if disk.name in names):
        yield ReleaseDisks(tuple(disk.id for disk in placed.disks))
    for disk in placed.disks:
        yield from _table(disk, built_upon=bool(placed.making))
    yield from placed.making
    for volume in placed.volumes:
        if volume.preserved:
            continue
        if volume.format:
            yield MakeFilesystem(
                volume=volume.volume,
                format=volume.format,
                label=volume.label,
                uuid=volume.uuid,
                sectors=volume.size // volume.sector,
            )
        if volume.subvolumes:
            yield MakeSubvolumes(volume.volume, volume.subvolumes)
    yield from mount_steps(placed)


def _table(disk: PlacedDisk, *, built_upon: bool) -> Iterator[StorageStep]:
    """Nothing is written where an earlier attempt left this very table, but when something is to be
    made of its partitions: what md, LUKS and LVM left in them would come to life again.
    """
    if disk.present and not built_upon:
        yield ProveTable(disk.id, disk.uuid, disk.partitions)
        return
    yield WipeDisk(disk.id, disk.signatures, disk.kept)
    kept = tuple(partition.number for partition in disk.kept)
    yield WritePartitionTable(
        disk.id, disk.uuid, disk.partitions, disk.table, kept=kept, active=disk.active
    )


def mount_steps(placed: Placed) -> Iterator[MountVolume]:
    """Not what is preserved: the image's files there stay below it, on the filesystem above."""
    mounted = [
        (mount, volume, volume.format)
        for volume in placed.volumes
        for mount in volume.mounts
        if volume.format and not volume.preserved
    ]
    # A path sorts after every path above it, so parents are mounted first.
    for mount, volume, form in sorted(mounted, key=lambda entry: entry[0].target):
        yield MountVolume(volume.volume, form, mount.target, mount_options(mount))


def mounts(placed: Placed) -> tuple[str, ...]:
    """Where the new system's filesystems are mounted while it is installed, in that order."""
    return tuple(step.target for step in mount_steps(placed))
