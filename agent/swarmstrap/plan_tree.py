# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a new system from an image of kind `tree`."""

from collections.abc import Iterator, Sequence
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
from swarmstrap.placing import Identity, PlacedDisk, PlacedVolume, place_disks
from swarmstrap.staging import fits_memory, memory_room, staged_size, too_large_for_memory
from swarmstrap.steps import Step
from swarmstrap.steps.image import FetchImage, VerifyTree
from swarmstrap.steps.leaving import Seed, Settle
from swarmstrap.steps.storage import MakeFilesystem, MountVolume, WipeDisk, WritePartitionTable
from swarmstrap.units import human
from swarmstrap.wire import Job

# What filesystems take for themselves, and the room in which the first boot writes.
SLACK = 1.1


def plan_tree(inventory: Inventory, job: Job, manifest: Manifest) -> Iterator[Step]:
    """Raises BadInput and Unplannable as `make_plan` says."""
    identity = Identity(job.deployment, job.node)
    disks = place_disks(job.layout, inventory.disks, identity)
    system = make_system(disks, identity, job, manifest)
    _check_room(manifest, system.volumes)
    staging = choose_staging(inventory, manifest, system)
    yield from _storage(disks, system)
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
    yield record(identity, job, manifest, system.volumes, configured)
    yield from hooks(job)
    # Last of all that is written, so that a disk on which anything failed does not boot.
    yield grub(inventory, manifest, system)
    leave: list[Step] = [Settle(), Seed(job.seed_seconds)]
    # A payload that lies on the new filesystem is served before that is unmounted.
    yield from leave if staging == "memory" else reversed(leave)
    yield finish(job, system)


def _check_room(manifest: Manifest, volumes: Sequence[PlacedVolume]) -> None:
    """The manifest does not say what lies below which mount, so all filesystems count together."""
    room = sum(v.volume.partition.size for v in volumes if v.mount and v.format != "vfat")
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
    room = system.root.volume.partition.size
    if staged_size(manifest) + int(manifest.unpacked * SLACK) <= room:
        return "target"
    raise Unplannable(
        f"{too_large_for_memory(inventory, manifest)}, nor beside the unpacked one into "
        f"{human(room)} of root partition",
        hint="raise size_min of the root partition, or the node's memory",
    )


def _storage(disks: Sequence[PlacedDisk], system: System) -> Iterator[Step]:
    for disk in disks:
        yield WipeDisk(disk.id, disk.signatures)
        partitions = tuple(volume.volume.partition for volume in disk.volumes)
        yield WritePartitionTable(disk.id, disk.uuid, partitions)
    for volume in system.volumes:
        if volume.format:
            label = volume.volume.partition.label
            yield MakeFilesystem(volume.volume, volume.format, label, volume.uuid)
    yield from mount_steps(system)


def mount_steps(system: System) -> Iterator[Step]:
    # A path sorts after every path above it, so parents are mounted first.
    for volume in sorted(system.volumes, key=lambda v: v.mount):
        if volume.mount and volume.format:
            yield MountVolume(volume.volume, volume.format, volume.mount, volume.options)


def mounts(system: System) -> tuple[str, ...]:
    return tuple(sorted(volume.mount for volume in system.volumes if volume.mount))
