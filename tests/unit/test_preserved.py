# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be true of a partition that a layout preserves."""

import msgspec
import pytest

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk, FoundPartition
from swarmstrap.layout import DiskLayout, Partition, Table
from swarmstrap.preserved import find_preserved
from swarmstrap.tables import TYPE_GUIDS, is_type, name_type
from swarmstrap.units import GiB

HOME = FoundPartition(
    number=4,
    start=30 * GiB,
    size=20 * GiB,
    type=TYPE_GUIDS["home"],
    uuid="0a1b2c3d-0000-4000-8000-000000000004",
    name="home",
    filesystem="xfs",
    filesystem_uuid="0a1b2c3d-0000-4000-8000-000000000104",
    label="data",
)
GPT = "gpt 0a1b2c3d-0000-4000-8000-000000000000"


def disk(*partitions: FoundPartition, signatures: tuple[str, ...] = (GPT,)) -> Disk:
    return Disk(name="/dev/sda", size=100 * GiB, signatures=signatures, partitions=partitions)


def layout(changes: dict[str, str] | None = None, table: Table = "gpt") -> DiskLayout:
    words = {"label": "home", "type": "home", "preserve": True, "format": "xfs", **(changes or {})}
    return DiskLayout(
        id="system", ptable=table, partitions=(msgspec.convert(words, Partition, strict=False),)
    )


def found(**changes: str | int) -> FoundPartition:
    return msgspec.structs.replace(HOME, **changes)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"size": "20GiB"},
        {"size": "20%"},
        {"size_min": "20GiB", "size_max": "21GiB"},
        {"size_min": "5%"},
        # Rounded up to a grain when it was made.
        {"size": "20479.5MiB"},
    ],
)
def test_it_is_what_the_layout_says(sizes: dict[str, str]) -> None:
    assert find_preserved(layout(sizes), disk(HOME)) == {"home": HOME}


def test_what_is_not_to_be_preserved_is_not_looked_for() -> None:
    plain = DiskLayout(id="system", partitions=(Partition(label="home", type="home"),))
    assert find_preserved(plain, disk()) == {}


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (found(type=TYPE_GUIDS["linux"]), "is of type linux, not home"),
        (found(type="ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"), "is of type ebd0a0a2-"),
        (found(filesystem="ext4"), "holds ext4, not xfs"),
        (found(filesystem=""), "holds no filesystem, not xfs"),
        (found(filesystem_uuid=""), "no UUID to be mounted by"),
    ],
)
def test_it_differs(there: FoundPartition, says: str) -> None:
    with pytest.raises(Unplannable) as caught:
        find_preserved(layout(), disk(there))
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"size": "19GiB"}, "has 20 GiB, more than 19GiB"),
        ({"size": "21GiB"}, "has 20 GiB, less than 21GiB"),
        ({"size_min": "30%"}, "less than 30%"),
        ({"size_max": "10%"}, "more than 10%"),
    ],
)
def test_it_is_of_another_size(sizes: dict[str, str], says: str) -> None:
    with pytest.raises(Unplannable) as caught:
        find_preserved(layout(sizes), disk(HOME))
    assert says in caught.value.message


def test_it_must_be_there_once() -> None:
    with pytest.raises(Unplannable, match="no partition home to preserve; labels there are none"):
        find_preserved(layout(), disk())
    with pytest.raises(Unplannable, match="2 partitions home to preserve"):
        find_preserved(layout(), disk(HOME, found(number=5)))


def test_in_an_mbr_the_label_is_the_filesystems() -> None:
    there = found(number=2, type="0x83", name="", label="home")
    with_mbr = disk(there, signatures=("dos 0badcafe",))
    assert find_preserved(layout(table="msdos"), with_mbr) == {"home": there}
    for wrong, says in (
        (disk(there), "the disk has no msdos table"),
        (disk(found(number=5, type="0x83", label="home"), signatures=("dos 0",)), "logical"),
        (disk(found(number=2, type="0x82", label="home"), signatures=("dos 0",)), "of type swap"),
    ):
        with pytest.raises(Unplannable, match=says):
            find_preserved(layout(table="msdos"), wrong)


def test_types() -> None:
    assert is_type("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "root", "gpt")
    assert is_type("0xfd", "raid", "msdos")
    assert not is_type("0x83", "raid", "msdos")
    assert name_type("b921b045-1df0-41c3-af44-4c6f280d3fae") == "root"
    assert name_type("0x8e") == "lvm"
    assert name_type("") == "unknown"
