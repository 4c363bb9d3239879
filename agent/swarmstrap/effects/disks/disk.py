# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole disks: wiping them and writing their partition tables. The only user of pyparted.

sgdisk writes the table, in one command: libparted 3.5 can set neither partition GUIDs nor type
GUIDs such as that of an x86-64 root. libparted then reads it back, so that two implementations
agree on it before anything relies on it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import parted

from swarmstrap.effects.disks.claim import claimed, read_table_again
from swarmstrap.effects.hardware import contents, sysfs, udev
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.layout import PartitionType
from swarmstrap.steps.storage import ProveTable, WipeDisk, WritePartitionTable
from swarmstrap.units import Bytes, MiB, to_sectors
from swarmstrap.volumes import PartitionVolume, PlannedPartition

# UEFI 2.10 (5.3.3), GRUB, and the UAPI group's Discoverable Partitions Specification.
TYPE_GUIDS: dict[PartitionType, str] = {
    "esp": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "bios-boot": "21686148-6449-6e6f-744e-656564454649",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "home": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
    "srv": "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
    "var": "4d21b016-b534-45c2-a9fb-5c16e091fd2d",
    "raid": "a19d880f-05fc-4d3b-a006-743f0f84911e",
    "lvm": "e6d6d379-f507-44c2-a23c-238f2a3df928",
    "luks": "ca7d7ccb-63ed-4c53-861c-1742536059cc",
    "linux": "0fc63daf-8483-4772-8e79-3d69d8477de4",
}
ROOT_GUIDS = {
    "x86_64": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "aarch64": "b921b045-1df0-41c3-af44-4c6f280d3fae",
}


def wipe(step: WipeDisk) -> None:
    """Remove every signature from the disk and its partitions, and what lies at the ends of all."""
    wipe_node(udev.find(step.disk))


def write_table(step: WritePartitionTable) -> None:
    """Write the table, prove it, and make the kernel use it."""
    write_table_to(udev.find(step.disk), step)
    udev.settle()


def wipe_node(node: str) -> None:
    """`wipe` for a device node or an image file. Raises StepFailed when anything uses it."""
    with claimed(node) as disk:
        parts = contents.parts(Path("/sys/class/block", Path(node).name))
        # --force: the claim that wipefs would make is the one that is held here.
        for target in (*(f"/dev/{part.name}" for part in parts), node):
            run(["wipefs", "--all", "--force", target], timeout=120)
        # wipefs takes the marks by which data are known; LVM and ZFS keep more of it at both ends.
        for start, size in (*map(sysfs.extent, parts), (0, os.lseek(disk, 0, os.SEEK_END))):
            for offset in (start, start + max(0, size - MiB)):
                os.pwrite(disk, bytes(min(MiB, size)), offset)
        os.fsync(disk)
        read_table_again(disk, node)


def prove_table(step: ProveTable) -> None:
    """Raises StepFailed unless the disk has these partitions, made for this node."""
    node = udev.find(step.disk)
    _prove(node, step.partitions)
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
    with claimed(node) as disk:
        run(sgdisk_arguments(step, node, os.uname().machine), timeout=120)
        os.fsync(disk)
        read_table_again(disk, node)
    _prove(node, step.partitions)


def sgdisk_arguments(step: WritePartitionTable, node: str, machine: str) -> list[str]:
    """The command that writes the whole table; `machine` (as in `uname -m`) types the root."""
    sector = step.disk.logical_sector
    # Places were aligned when they were planned: sgdisk is to take them as they are.
    arguments = ["sgdisk", "--clear", "--set-alignment=1", f"--disk-guid={step.uuid}"]
    for part in step.partitions:
        first = to_sectors(Bytes(part.start), sector)
        last = first + to_sectors(Bytes(part.size), sector) - 1
        guid = TYPE_GUIDS.get(part.type) or ROOT_GUIDS.get(machine, TYPE_GUIDS["linux"])
        arguments += [
            f"--new={part.number}:{first}:{last}",
            f"--typecode={part.number}:{guid}",
            f"--partition-guid={part.number}:{part.uuid}",
            f"--change-name={part.number}:{part.label}",
        ]
    return [*arguments, node]


def _prove(node: str, partitions: Sequence[PlannedPartition]) -> None:
    device = parted.getDevice(node)
    try:
        sector = device.sectorSize
        table = parted.newDisk(device)
        found = [
            (p.number, p.get_name(), p.geometry.start * sector, p.geometry.length * sector)
            for p in table.partitions
        ]
    except parted.IOException as error:
        raise StepFailed(
            f"{node} has no readable table: {error}",
            hint="the disk may be failing: see dmesg",
        ) from error
    finally:
        device.removeFromCache()
    if found != [_place(partition) for partition in partitions]:
        raise StepFailed(
            f"the table of {node} is not the planned one: {found}",
            hint="something else writes to this disk, or it is failing: see dmesg",
        )


def _place(partition: PlannedPartition) -> tuple[int, str, int, int]:
    return partition.number, partition.label, partition.start, partition.size
