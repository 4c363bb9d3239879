# SPDX-License-Identifier: GPL-2.0-or-later
"""Partition tables as tools write them: types, sgdisk's arguments, sfdisk's script. Pure."""

from collections.abc import Iterator

from swarmstrap.layout import PartitionType, Table
from swarmstrap.steps.storage import WritePartitionTable
from swarmstrap.units import Bytes, Sectors, to_sectors
from swarmstrap.volumes import PlannedPartition

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
# util-linux's include/pt-mbr-partnames.h; all that is not here is Linux's.
MBR_TYPES: dict[PartitionType, int] = {
    "esp": 0xEF,
    "swap": 0x82,
    "raid": 0xFD,
    "lvm": 0x8E,
    "luks": 0xE8,
}
_MBR_LINUX = 0x83


def is_type(found: str, wanted: PartitionType, table: Table) -> bool:
    """Whether a table's type, in blkid's words (a GUID, or `0x83`), is what a layout calls so."""
    if table == "msdos":
        return found.lower() == hex(MBR_TYPES.get(wanted, _MBR_LINUX))
    guids = ROOT_GUIDS.values() if wanted == "root" else (TYPE_GUIDS[wanted],)
    return found.lower() in guids


def name_type(found: str) -> str:
    """The layout's word for a type in blkid's words, or the type itself."""
    known: dict[str, str] = {guid: name for name, guid in TYPE_GUIDS.items()}
    known |= dict.fromkeys(ROOT_GUIDS.values(), "root")
    known |= {hex(number): name for name, number in MBR_TYPES.items()}
    known[hex(_MBR_LINUX)] = "linux"
    return known.get(found.lower(), found or "unknown")


def sgdisk_arguments(step: WritePartitionTable, node: str, machine: str) -> list[str]:
    """The command that writes a whole GPT; `machine` (as in `uname -m`) types the root."""
    # Places were aligned when they were planned: sgdisk is to take them as they are.
    arguments = ["sgdisk", "--clear", "--set-alignment=1", f"--disk-guid={step.uuid}"]
    for part, first, length in _sectors(step):
        guid = TYPE_GUIDS.get(part.type) or ROOT_GUIDS.get(machine, TYPE_GUIDS["linux"])
        arguments += [
            f"--new={part.number}:{first}:{first + length - 1}",
            f"--typecode={part.number}:{guid}",
            f"--partition-guid={part.number}:{part.uuid}",
            f"--change-name={part.number}:{part.label}",
        ]
    return [*arguments, node]


def sfdisk_script(step: WritePartitionTable) -> str:
    """What sfdisk is told to write a whole MBR."""
    lines = ["label: dos", f"label-id: 0x{step.uuid}"]
    for part, first, length in _sectors(step):
        code = MBR_TYPES.get(part.type, _MBR_LINUX)
        active = ", bootable" if part.number == step.active else ""
        lines.append(f"{part.number} : start={first}, size={length}, type={code:x}{active}")
    return "\n".join([*lines, ""])


def _sectors(step: WritePartitionTable) -> Iterator[tuple[PlannedPartition, Sectors, Sectors]]:
    """Each partition with its first sector and how many it has."""
    sector = step.disk.logical_sector
    for part in step.partitions:
        yield part, to_sectors(Bytes(part.start), sector), to_sectors(Bytes(part.size), sector)
