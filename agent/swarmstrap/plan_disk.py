# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a disk that becomes the copy of another: an image of kind `disk`.

Nothing in it is configured, whatever runs on it: what makes a node of the copy is a hook's to do.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from swarmstrap.configuring import hooks
from swarmstrap.errors import Unplannable
from swarmstrap.foreign import check_wipe
from swarmstrap.hardware import Disk, Inventory
from swarmstrap.layout import DiskLayout
from swarmstrap.manifest import DiskFacts, DiskPartition, Manifest
from swarmstrap.partitioning import usable
from swarmstrap.placing import identify
from swarmstrap.selectors import choose
from swarmstrap.staging import fits_memory, memory_room, staged_size, too_large_for_memory
from swarmstrap.steps import Step
from swarmstrap.steps.image import ClearRest, WriteDiskImage
from swarmstrap.steps.leaving import FinishBoot, Seed
from swarmstrap.steps.storage import CheckClones, GrowDisk, Growth, ReleaseDisks, WipeDisk
from swarmstrap.units import MiB, align_down, align_up, human
from swarmstrap.wire import Job

# blkid's names of the filesystems that a node can grow.
GROWABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs"})
# A DOS table counts 512-byte sectors in 32 bits; its logical partitions lie in an extended one.
_DOS_END = 2**32 * 512
_FIRST_LOGICAL = 5
# What an ext4 takes for itself, and its journal.
_STAGING_SLACK = 1.05
_STAGING_EXTRA = 64 * MiB


def plan_disk(
    inventory: Inventory, job: Job, manifest: Manifest, facts: DiskFacts
) -> Iterator[Step]:
    """Raises Unplannable as `make_plan` says."""
    (layout,) = job.layout.disks
    (disk,) = choose(job.layout.disks, inventory.disks, skip=job.skip_block_devices)
    check_wipe(layout, disk)
    _check_size(manifest, facts, disk)
    _check_wishes(job, manifest)
    target = identify(disk)
    unused = layout.unused or "discard"
    staging = _staging(inventory, manifest, facts, disk, layout)
    if disk.holders:
        yield ReleaseDisks((target,))
    yield WipeDisk(target, disk.signatures)
    yield WriteDiskImage(
        disk=target,
        name=manifest.name,
        version=manifest.version,
        infohash=manifest.infohash,
        payload=manifest.payload.size,
        size=facts.size,
        unused=unused,
        staging=staging,
        room=memory_room(inventory),
        verify=job.verify == "full",
    )
    seed = Seed(job.seed_seconds)
    # What is staged behind the image is served before anything else goes there.
    if staging == "tail":
        yield seed
    if unused != "keep" and disk.size > facts.size:
        yield ClearRest(target, facts.size, unused)
    if layout.grow is not False and disk.size > facts.size:
        yield GrowDisk(target, facts.table, _growth(facts, disk))
    yield from hooks(job)
    yield CheckClones(target)
    if staging == "memory":
        yield seed
    yield FinishBoot(how=job.finish, kernel="", initrd="", arguments="")


def _check_size(manifest: Manifest, facts: DiskFacts, disk: Disk) -> None:
    image = f"image {manifest.name} {manifest.version}"
    if facts.size > disk.size:
        raise Unplannable(
            f"{image} is of a disk of {facts.size} bytes ({human(facts.size)}), {disk.name} has "
            f"{disk.size} ({human(disk.size)})",
            hint="take a larger disk, or capture a smaller one",
        )
    if facts.logical_sector != disk.logical_sector:
        raise Unplannable(
            f"{image} is of a disk with sectors of {facts.logical_sector} bytes, {disk.name} has "
            f"{disk.logical_sector}: its partition table would be read at other places",
            hint="capture a disk with such sectors, or format the namespace of an NVMe disk anew",
        )


def _check_wishes(job: Job, manifest: Manifest) -> None:
    """What only a tree of files can be asked for."""
    image = f"image {manifest.name} {manifest.version} is a whole disk"
    if job.finish == "kexec":
        raise Unplannable(
            f"{image}, of which no kernel is known to start by kexec", hint="finish with reboot"
        )
    entering = [hook.name for hook in job.hooks if hook.where == "chroot"]
    if entering:
        raise Unplannable(
            f"{image}, which hook {entering[0]} cannot run in",
            hint="list the node's other hooks in `hooks:`, or move it to hooks/initramfs",
        )
    if job.overlays:
        raise Unplannable(
            f"{image}, which overlay {job.overlays[0].name} cannot be laid over",
            hint="say `overlays: []` for the node, or deploy a tree",
        )


def _staging(
    inventory: Inventory, manifest: Manifest, facts: DiskFacts, disk: Disk, layout: DiskLayout
) -> Literal["memory", "tail"]:
    """Memory, as for every image; where it is too small the room behind the image, if any."""
    if fits_memory(inventory, manifest):
        return "memory"
    room = max(0, align_down(disk.size, MiB) - align_up(facts.size, MiB))
    need = int(staged_size(manifest) * _STAGING_SLACK) + _STAGING_EXTRA
    if need <= room and layout.unused != "keep":
        return "tail"
    kept = ", which the layout keeps" if layout.unused == "keep" else ""
    raise Unplannable(
        f"{too_large_for_memory(inventory, manifest)}, nor with {human(need)} into the "
        f"{human(room)} of {disk.name} behind the image{kept}",
        hint="take a larger disk, or a node with more memory",
    )


def _growth(facts: DiskFacts, disk: Disk) -> Growth | None:
    """The last partition, when it can take what comes behind it."""
    last = _last(facts.partitions)
    if last is None or last.filesystem not in GROWABLE:
        return None
    end = disk.size
    if facts.table == "gpt":
        end = usable(disk.size, disk.logical_sector)[1]
    elif facts.table == "dos":
        if last.number >= _FIRST_LOGICAL:
            return None
        end = align_down(min(disk.size, _DOS_END), MiB)
    if end <= last.start + last.size:
        return None
    return Growth(last.number, last.filesystem, last.start, end - last.start)


def _last(partitions: Sequence[DiskPartition]) -> DiskPartition | None:
    return max(partitions, key=lambda part: part.start + part.size, default=None)
