# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a system that becomes another version of its image: nothing is wiped or made."""

from collections.abc import Iterator

from swarmstrap.booting import boot_steps
from swarmstrap.configuring import configuration, finish, hooks, make_system
from swarmstrap.deployed import own_paths, record
from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.placing import Identity, find_disks
from swarmstrap.plan_storage import mount_steps, mounts
from swarmstrap.plan_tree import choose_staging
from swarmstrap.preserving import check_pattern
from swarmstrap.sealing import sealing_steps
from swarmstrap.stacking import Placed, stack
from swarmstrap.steps import Step
from swarmstrap.steps.image import TidyTree, UpdateTree, VerifyTree
from swarmstrap.steps.leaving import Seed, Settle
from swarmstrap.steps.storage import (
    MakeArray,
    MakeCrypt,
    MakeGroup,
    OpenAgain,
    ProveTable,
    ReleaseDisks,
)
from swarmstrap.steps.system import EndUpdate, InstallGrub, RefreshGrub
from swarmstrap.wire import Job


def plan_update(inventory: Inventory, job: Job, manifest: Manifest) -> Iterator[Step]:
    """Raises BadInput and Unplannable as `make_plan` says."""
    if manifest.kind != "tree":
        raise Unplannable(
            f"image {manifest.name} {manifest.version} is a whole disk, which cannot be updated",
            hint="deploy it afresh",
        )
    identity = Identity(job.origin, job.node)
    disks = find_disks(job.layout, inventory.disks, identity, job.skip_block_devices)
    placed = stack(job.layout, disks, identity)
    system = make_system(placed, identity, job, manifest)
    staging = choose_staging(inventory, manifest, system)
    configured = list(configuration(inventory, job, manifest, system))
    sealed = list(sealing_steps(inventory, job, manifest, placed))
    kept = (check_pattern(pattern) for pattern in job.preserve)
    preserve = (*kept, *own_paths(configured))
    yield from _find_system(placed)
    yield UpdateTree(
        name=manifest.name,
        version=manifest.version,
        infohash=manifest.infohash,
        payload=manifest.payload.size,
        staging=staging,
        deployment=identity.deployment,
        node=identity.node,
        mounts=mounts(placed),
        preserve=preserve,
        checksum=job.verify == "full",
        allow_older=job.allow_older,
    )
    yield from configured
    # Only now: the new kernel is there, and grub.cfg names it.
    yield TidyTree()
    if job.verify == "full":
        yield VerifyTree(mounts(placed), preserve)
    yield record(identity, job, manifest, placed, configured)
    yield from sealed
    yield from hooks(job)
    for step in boot_steps(inventory, job, manifest, system):
        yield RefreshGrub(step) if isinstance(step, InstallGrub) else step
    yield EndUpdate()
    leave: list[Step] = [Settle(), Seed(job.seed_seconds)]
    yield from leave if staging == "memory" else reversed(leave)
    yield finish(job, system)


def _find_system(placed: Placed) -> Iterator[Step]:
    """Its disks are proven to be as they were left, and it is mounted."""
    for disk in placed.disks:
        yield ProveTable(disk.id, disk.uuid, disk.partitions)
    if placed.making:
        # An attempt in this very boot may have left it running.
        yield ReleaseDisks(tuple(disk.id for disk in placed.disks))
    for made in placed.making:
        if isinstance(made, MakeArray | MakeCrypt | MakeGroup):
            yield OpenAgain(made)
    yield from mount_steps(placed)
