# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole disks: wiping them and writing their partition tables. The only user of pyparted.

sgdisk and sfdisk write a table, in one command: libparted 3.5 can set neither partition GUIDs nor
type GUIDs such as that of an x86-64 root. libparted then reads it back, so that two
implementations agree on it before anything relies on it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import parted

from swarmstrap.effects.disks.claim import claimed, read_table_again
from swarmstrap.effects.hardware import contents, sysfs, udev
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.steps.storage import ProveTable, WipeDisk, WritePartitionTable
from swarmstrap.tables import sfdisk_script, sgdisk_arguments
from swarmstrap.units import MiB
from swarmstrap.volumes import PartitionVolume, PlannedPartition

# Number, label (an MBR has none), start and size in bytes.
_Entry = tuple[int, str, int, int]


def wipe(step: WipeDisk) -> None:
    """Remove every signature from the disk and its partitions, and what lies at the ends of all;
    with partitions that are kept, from the others.
    """
    wipe_node(udev.find(step.disk), step.kept)


def write_table(step: WritePartitionTable) -> None:
    """Write the table, prove it, and make the kernel use it."""
    write_table_to(udev.find(step.disk), step)
    udev.settle()


def wipe_node(node: str, kept: Sequence[PlannedPartition] = ()) -> None:
    """`wipe` for a device node or an image file. Raises StepFailed when anything uses it, and when
    what is kept is not where it is planned to be.
    """
    with claimed(node) as disk:
        parts = contents.parts(Path("/sys/class/block", Path(node).name))
        wiped = beside(node, parts, kept) if kept else parts
        areas = [(f"/dev/{part.name}", *sysfs.extent(part)) for part in wiped]
        if not kept:
            areas.append((node, 0, os.lseek(disk, 0, os.SEEK_END)))
        for target, _, _ in areas:
            # --force: the claim that wipefs would make is the one that is held here.
            run(["wipefs", "--all", "--force", target], timeout=120)
        # wipefs takes the marks by which data are known; LVM and ZFS keep more of it at both ends.
        for _, start, size in areas:
            _blank_ends(disk, start, size)
        os.fsync(disk)
        read_table_again(disk, node)


def beside(node: str, parts: Sequence[Path], kept: Sequence[PlannedPartition]) -> list[Path]:
    """The partitions to wipe beside those that are kept. Raises StepFailed unless each of these is
    in its place, and none of the others reaches into it.
    """
    extents = {sysfs.number(part / "partition"): sysfs.extent(part) for part in parts}
    numbers = {partition.number for partition in kept}
    for stays in kept:
        end = stays.start + stays.size
        overlaps = any(
            start < end and stays.start < start + size
            for number, (start, size) in extents.items()
            if number not in numbers
        )
        if extents.get(stays.number) != (stays.start, stays.size) or overlaps:
            raise StepFailed(
                f"partition {stays.number} of {node}, which is to stay, is not where the plan has "
                "it, or another reaches into it",
                hint="look at the partition table with sgdisk --verify or sfdisk --verify",
            )
    return [part for part in parts if sysfs.number(part / "partition") not in numbers]


def prove_table(step: ProveTable) -> None:
    """Raises StepFailed unless the disk has these partitions, made for this node."""
    _prove(udev.find(step.disk), step.partitions)
    for partition in step.partitions:
        place = udev.partition_node(PartitionVolume(step.disk, partition))
        command = ["blkid", "--probe", "--match-tag", "PART_ENTRY_UUID", "--output", "value", place]
        found = run(command, timeout=60, check=False).stdout.strip()
        if found != partition.uuid:
            raise StepFailed(
                f"{place} is partition {found or 'without a GUID'}, not the {partition.uuid} that "
                "was made for this node",
                hint="another deployment wrote this disk: deploy the node afresh",
            )


def write_table_to(node: str, step: WritePartitionTable) -> None:
    """`write_table` for a device node or an image file."""
    if step.kept:
        kept = [partition for partition in step.partitions if partition.number in step.kept]
        _prove(node, kept, others=True)
    with claimed(node) as disk:
        if step.table == "gpt":
            run(sgdisk_arguments(step, node, os.uname().machine), timeout=120)
        else:
            # The claim is held here, and the kernel is told below.
            command = ["sfdisk", "--quiet", "--wipe=never", "--no-reread", "--no-tell-kernel", node]
            run(command, timeout=120, stdin=sfdisk_script(step).encode())
        # A table before the last one may have had something here, and nothing may be made of it.
        for partition in step.partitions:
            if partition.number not in step.kept:
                _blank_ends(disk, partition.start, partition.size)
        os.fsync(disk)
        read_table_again(disk, node)
    _prove(node, step.partitions)


def _blank_ends(disk: int, start: int, size: int) -> None:
    """Where filesystems, arrays and groups have their marks; `start` and `size` in bytes."""
    for offset in (start, start + max(0, size - MiB)):
        os.pwrite(disk, bytes(min(MiB, size)), offset)


def _read(node: str) -> list[_Entry]:
    """The partitions that libparted sees, whatever the kind of table."""
    device = parted.getDevice(node)
    try:
        sector = device.sectorSize
        disk = parted.newDisk(device)
        named = disk.supportsFeature(parted.DISK_TYPE_PARTITION_NAME)
        return [
            (
                part.number,
                part.get_name() if named else "",
                part.geometry.start * sector,
                part.geometry.length * sector,
            )
            for part in disk.partitions
        ]
    except parted.IOException as error:
        raise StepFailed(
            f"{node} has no readable table: {error}",
            hint="the disk may be failing: see dmesg",
        ) from error
    finally:
        device.removeFromCache()


def _prove(node: str, planned: Sequence[PlannedPartition], *, others: bool = False) -> None:
    """Raises StepFailed unless all that is `planned` is there, and nothing else but `others`."""
    found = _read(node)
    labelled = any(label for _, label, _, _ in found)
    wanted = {(p.number, p.label if labelled else "", p.start, p.size) for p in planned}
    if wanted != set(found) and not (others and wanted <= set(found)):
        raise StepFailed(
            f"the table of {node} is not the planned one: {found}",
            hint="something else writes to this disk, or it is failing: see dmesg",
        )
