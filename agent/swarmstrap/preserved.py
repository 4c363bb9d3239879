# SPDX-License-Identifier: GPL-2.0-or-later
"""Partitions that a layout preserves: found on the disk and proven to be what it says. Pure."""

from collections.abc import Iterator, Mapping

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk, FoundPartition
from swarmstrap.layout import DiskLayout, Partition, Table
from swarmstrap.partitioning import grain, usable
from swarmstrap.tables import is_type, name_type
from swarmstrap.units import human, parse_share

_TABLES: Mapping[Table, str] = {"gpt": "gpt", "msdos": "dos"}
# An MBR has room for four; the others are a chain through an extended partition.
_PRIMARY = 4


def find_preserved(layout: DiskLayout, disk: Disk) -> Mapping[str, FoundPartition]:
    """By label: GPT names, and in an MBR, which has none, labels of filesystems.

    Raises Unplannable when one is missing, is there twice, or is not what the layout says.
    """
    wanted = [partition for partition in layout.partitions if partition.preserve]
    found = {partition.label: _find(layout.ptable, disk, partition.label) for partition in wanted}
    for partition in wanted:
        differs = list(_differences(layout.ptable, disk, partition, found[partition.label]))
        if differs:
            raise Unplannable(
                f"partition {partition.label} of {disk.name} is to be preserved, and "
                f"{', '.join(differs)}",
                hint="let the layout say what it is, or make it anew without `preserve`",
            )
    return found


def _find(table: Table, disk: Disk, label: str) -> FoundPartition:
    fitting = [p for p in disk.partitions if _label(table, p) == label]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(filter(None, (_label(table, p) for p in disk.partitions)))
    count = f"{len(fitting)} partitions" if fitting else "no partition"
    raise Unplannable(
        f"{disk.name} has {count} {label} to preserve; labels there are {there or 'none'}",
        hint="take another disk, or make the partition anew without `preserve`",
    )


def _label(table: Table, partition: FoundPartition) -> str:
    return partition.name if table == "gpt" else partition.label


def _differences(
    table: Table, disk: Disk, wanted: Partition, found: FoundPartition
) -> Iterator[str]:
    if not any(s.startswith(f"{_TABLES[table]} ") for s in disk.signatures):
        yield f"the disk has no {table} table"
    if table == "msdos" and found.number > _PRIMARY:
        yield "is a logical one"
    if not is_type(found.type, wanted.type, table):
        yield f"is of type {name_type(found.type)}, not {wanted.type}"
    yield from _wrong_size(table, disk, wanted, found)
    if wanted.format and found.filesystem != wanted.format:
        yield f"holds {found.filesystem or 'no filesystem'}, not {wanted.format}"
    elif wanted.format and not found.filesystem_uuid:
        yield "its filesystem has no UUID to be mounted by"


def _wrong_size(
    table: Table, disk: Disk, wanted: Partition, found: FoundPartition
) -> Iterator[str]:
    """Bounds are kept to a grain, for that is how it was rounded when it was made."""
    step = grain(disk.optimal_io)
    start, end = usable(disk.size, disk.logical_sector, disk.optimal_io, table)
    least = wanted.size or wanted.size_min
    most = wanted.size or wanted.size_max
    if least and found.size <= parse_share(least, end - start) - step:
        yield f"has {human(found.size)}, less than {least}"
    if most and found.size >= parse_share(most, end - start) + step:
        yield f"has {human(found.size)}, more than {most}"
