# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a new system from an image of kind `tree`."""

from collections.abc import Iterator
from typing import Literal

from swarmstrap.configuring import (
    System,
    configuration,
    finish,
    grub,
    hooks,
    make_system,
    remove_clones,
)
from swarmstrap.deployed import record
from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.placing import Identity, PlacedDisk, place_disks
from swarmstrap.render import mount_options
from swarmstrap.stacking import Placed, stack
from swarmstrap.staging import fits_memory, memory_room, staged_size, too_large_for_memory
from swarmstrap.steps import Step
from swarmstrap.steps.image import FetchImage, VerifyTree
from swarmstrap.steps.leaving import Seed, Settle
from swarmstrap.steps.storage import (
    MakeFilesystem,
    MakeSubvolumes,
    MountVolume,
    ProveTable,
    ReleaseDisks,
    WipeDisk,
    WritePartitionTable,
)
from swarmstrap.units import human
from swarmstrap.wire import Job

# What filesystems take for themselves, and the room in which the first boot writes.
SLACK = 1.1


def plan_tree(inventory: Inventory, job: Job, manifest: Manifest) -> Iterator[Step]:
    """Raises BadInput and Unplannable as `make_plan` says."""
    identity = Identity(job.deployment, job.node)
    placed = stack(job.layout, place_disks(job.layout, inventory.disks, identity), identity)
    system = make_system(placed, identity, job, manifest)
    _check_room(manifest, placed)
    staging = choose_staging(inventory, manifest, system)
    yield from _storage(inventory, system)
    yield FetchImage(
        name=manifest.name,
        version=manifest.version,
        infohash=manifest.infohash,
        payload=manifest.payload.size,
        staging=staging,
        room=memory_room(inventory),
    )
    if job.verify == "full":
        yield VerifyTree(mounts=mounts(system), preserve=None)
    yield remove_clones()
    configured = list(configuration(inventory, job, manifest, system))
    yield from configured
    yield record(identity, job, manifest, placed.volumes, configured)
    yield from hooks(job)
    # Last of all that is written, so that a disk on which anything failed does not boot.
    yield grub(inventory, manifest, system)
    leave: list[Step] = [Settle(), Seed(job.seed_seconds)]
    # A payload that lies on the new filesystem is served before that is unmounted.
    yield from leave if staging == "memory" else reversed(leave)
    yield finish(job, system)


def _check_room(manifest: Manifest, placed: Placed) -> None:
    """The manifest does not say what lies below which mount, so all filesystems count together."""
    new = (volume for volume in placed.volumes if not volume.preserved)
    room = sum(volume.size for volume in new if volume.mounts and volume.format != "vfat")
    need = int(manifest.unpacked * SLACK)
    if need > room:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} needs {human(need)} unpacked, the layout "
            f"gives it {human(room)}",
            hint="raise size_min of the root partition, or take a larger disk",
        )


def choose_staging(
    inventory: Inventory, manifest: Manifest, system: System
) -> Literal["memory", "target"]:
    """Memory, so that the disk writes each byte once; the new root where memory is too small."""
    if fits_memory(inventory, manifest):
        return "memory"
    room = system.root.size
    if staged_size(manifest) + int(manifest.unpacked * SLACK) <= room:
        return "target"
    raise Unplannable(
        f"{too_large_for_memory(inventory, manifest)}, nor beside the unpacked one into "
        f"{human(room)} of root partition",
        hint="raise size_min of the root partition, or the node's memory",
    )


def _storage(inventory: Inventory, system: System) -> Iterator[Step]:
    placed = system.placed
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
        subvolumes = tuple(mount.subvolume for mount in volume.mounts if mount.subvolume)
        if subvolumes:
            yield MakeSubvolumes(volume.volume, subvolumes)
    yield from mount_steps(system)


def _table(disk: PlacedDisk, *, built_upon: bool) -> Iterator[Step]:
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


def mount_steps(system: System) -> Iterator[Step]:
    """Not what is preserved: the image's files there stay below it, on the filesystem above."""
    mounted = [
        (mount, volume, volume.format)
        for volume in system.placed.volumes
        for mount in volume.mounts
        if volume.format and not volume.preserved
    ]
    # A path sorts after every path above it, so parents are mounted first.
    for mount, volume, form in sorted(mounted, key=lambda entry: entry[0].target):
        yield MountVolume(volume.volume, form, mount.target, mount_options(mount))


def mounts(system: System) -> tuple[str, ...]:
    new = (volume for volume in system.placed.volumes if not volume.preserved)
    return tuple(sorted(mount.target for volume in new for mount in volume.mounts))
