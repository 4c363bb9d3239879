# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a new system from an image of kind `tree`."""

from collections.abc import Iterator
from typing import Literal

from swarmstrap.booting import boot_steps
from swarmstrap.configuring import (
    System,
    configuration,
    finish,
    hooks,
    make_system,
    remove_clones,
)
from swarmstrap.deployed import record
from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.placing import Identity, place_disks
from swarmstrap.plan_storage import mounts, storage_steps
from swarmstrap.sealing import sealing_steps
from swarmstrap.stacking import Placed, stack
from swarmstrap.staging import fits_memory, memory_room, staged_size, too_large_for_memory
from swarmstrap.steps import Step
from swarmstrap.steps.image import FetchImage, VerifyTree
from swarmstrap.steps.leaving import Seed, Settle
from swarmstrap.units import human
from swarmstrap.wire import Job

# What filesystems take for themselves, and the room in which the first boot writes.
SLACK = 1.1


def plan_tree(inventory: Inventory, job: Job, manifest: Manifest) -> Iterator[Step]:
    """Raises BadInput and Unplannable as `make_plan` says."""
    identity = Identity(job.deployment, job.node)
    disks = place_disks(job.layout, inventory.disks, identity, job.skip_block_devices)
    placed = stack(job.layout, disks, identity)
    system = make_system(placed, identity, job, manifest)
    _check_room(manifest, placed)
    staging = choose_staging(inventory, manifest, system)
    yield from storage_steps(inventory, placed)
    yield FetchImage(
        name=manifest.name,
        version=manifest.version,
        infohash=manifest.infohash,
        payload=manifest.payload.size,
        staging=staging,
        room=memory_room(inventory),
    )
    if job.verify == "full":
        yield VerifyTree(mounts=mounts(placed), preserve=None)
    yield remove_clones()
    configured = list(configuration(inventory, job, manifest, system))
    sealed = list(sealing_steps(inventory, job, manifest, placed))
    yield from configured
    yield record(identity, job, manifest, placed, configured)
    yield from sealed
    yield from hooks(job)
    # Last of all that is written, so that a disk on which anything failed does not boot.
    yield from boot_steps(inventory, job, manifest, system)
    leave: list[Step] = [Settle(), Seed(job.seed_seconds)]
    # A payload that lies on the new filesystem is served before that is unmounted.
    yield from leave if staging == "memory" else reversed(leave)
    yield finish(job, system)


def _check_room(manifest: Manifest, placed: Placed) -> None:
    """The manifest does not say what lies below which mount, so all filesystems count together."""
    new = (volume for volume in placed.volumes if not volume.preserved)
    room = placed.room(volume for volume in new if volume.mounts and volume.format != "vfat")
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
    room = system.placed.room([system.root])
    if staged_size(manifest) + int(manifest.unpacked * SLACK) <= room:
        return "target"
    raise Unplannable(
        f"{too_large_for_memory(inventory, manifest)}, nor beside the unpacked one into "
        f"{human(room)} of root partition",
        hint="raise size_min of the root partition, or the node's memory",
    )
