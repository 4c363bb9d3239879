# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk image says of itself: sectors, table, partitions, and what lies in them."""

import os
from pathlib import Path

import msgspec

from swarmstrap.manifest import DiskFacts, DiskPartition, PartitionTable
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.loops import attached
from swarmstrap_server.images.sources.rawdisk import RawDisk
from swarmstrap_server.run import run

_SECONDS = 60.0
_GPT_MAGIC = b"EFI PART"
_SECTORS = (512, 4096)
# Types of a DOS table: the MBR that protects a GPT, and the partitions that hold others.
_PROTECTIVE = "ee"
EXTENDED = frozenset({"5", "f", "85"})
# blkid's statuses: nothing was found there, or more than one kind of data.
_NOTHING, _AMBIVALENT = 2, 8


class _Partition(msgspec.Struct, frozen=True):
    node: str
    start: int
    size: int
    type: str
    uuid: str = ""
    name: str = ""


class _Table(msgspec.Struct, frozen=True):
    label: str
    id: str
    partitions: tuple[_Partition, ...] = ()


class _Shown(msgspec.Struct, frozen=True):
    partitiontable: _Table


def guess_sector(disk: Path) -> int:
    """The logical sector that the disk was partitioned with: a GPT's header is in the second."""
    with disk.open("rb") as file:
        for sector in _SECTORS:
            if os.pread(file.fileno(), len(_GPT_MAGIC), sector) == _GPT_MAGIC:
                return sector
    return _SECTORS[0]


def read_disk(disk: RawDisk, sector: int, warnings: list[str]) -> DiskFacts:
    """A disk without a table that holds a filesystem has one partition of number 0, which is all of
    it. Raises CaptureFailed when table and size contradict each other.
    """
    size = disk.size
    if size % sector:
        raise CaptureFailed(
            f"{disk.name} has {size} bytes, no whole sectors of {sector}",
            hint="it is cut off, or no disk image",
        )
    table = _read_table(disk, sector, warnings)
    kind: PartitionTable = "none"
    whole = _probe(disk.path, 0, size)
    if table is None or (not table.partitions and "TYPE" in whole):
        parts = [DiskPartition(number=0, start=0, size=size, type="")] if "TYPE" in whole else []
    else:
        kind = "gpt" if table.label == "gpt" else "dos"
        parts = [_partition(table, found, sector) for found in table.partitions]
    for part in parts:
        if part.start + part.size > size:
            raise CaptureFailed(
                f"{disk.name} has {size} bytes, and partition {part.number} ends at "
                f"{part.start + part.size}",
                hint="the image is cut off: get it again",
            )
    return DiskFacts(
        size=size,
        logical_sector=sector,
        table=kind,
        uuid=whole.get("PTUUID", "") if kind != "none" else "",
        partitions=tuple(_with_filesystem(disk.path, part) for part in parts),
    )


def _read_table(disk: RawDisk, sector: int, warnings: list[str]) -> _Table | None:
    with attached(disk.path, sector=sector) as node:
        shown = run(["sfdisk", "--json", node], timeout=_SECONDS, check=False)
        said = shown.stderr.replace(str(node), disk.name)
    if shown.returncode:
        return None
    table = msgspec.json.decode(shown.stdout, type=_Shown).partitiontable
    if table.label not in ("gpt", "dos"):
        raise CaptureFailed(
            f"{disk.name} has a partition table of kind {table.label}",
            hint="disk images have a GPT, a DOS table or none",
        )
    if any(part.type == _PROTECTIVE for part in table.partitions):
        raise CaptureFailed(
            f"the GPT of {disk.name} cannot be read, neither its first copy nor its second",
            hint="the image is cut off or damaged: get it again, or look with sgdisk --verify",
        )
    warnings += [f"its partition table: {line.strip()}" for line in said.splitlines() if line]
    return table


def _partition(table: _Table, found: _Partition, sector: int) -> DiskPartition:
    number = int(found.node.rpartition("p")[2])
    # Linux makes one up where a DOS table has none.
    guid = found.uuid or f"{int(table.id, 16):08x}-{number:02x}"
    return DiskPartition(
        number=number,
        start=found.start * sector,
        size=found.size * sector,
        type=found.type.lower(),
        guid=guid.lower(),
        name=found.name,
    )


def _with_filesystem(disk: Path, part: DiskPartition) -> DiskPartition:
    if part.type in EXTENDED:
        return part
    found = _probe(disk, part.start, part.size)
    return msgspec.structs.replace(
        part,
        filesystem=found.get("TYPE", ""),
        uuid=found.get("UUID", ""),
        label=found.get("LABEL", ""),
    )


def _probe(disk: Path, start: int, size: int) -> dict[str, str]:
    """blkid's words for what lies there."""
    command = ["blkid", "--probe", "--output", "export"]
    command += ["--offset", str(start), "--size", str(size), str(disk)]
    probed = run(command, timeout=_SECONDS, check=False)
    if probed.returncode not in (0, _NOTHING, _AMBIVALENT):
        raise CaptureFailed(f"{disk} cannot be read: {probed.stderr.strip()}")
    return dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)
