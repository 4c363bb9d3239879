# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic of partitions: a few sums by hand, and rules that hold for any disk and layout."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Partition, minimum
from swarmstrap.partitioning import Extent, grain, place, usable
from swarmstrap.units import GiB, KiB, MiB, human, parse_size


def part(label: str, **sizes: str | int) -> Partition:
    return Partition(label=label, type="linux", **sizes)  # type: ignore[arg-type]


def sizes(parts: list[Partition], room: int) -> list[int]:
    """Sizes in MiB on a disk with `room` MiB between the ends."""
    extents = place(parts, disk_size=(room + 2) * MiB, logical_sector=512)
    return [extent.size // MiB for extent in extents]


def test_shares_follow_weights_within_bounds() -> None:
    assert sizes([part("a"), part("b", weight=3)], 100) == [25, 75]
    assert sizes([part("a", size="10MiB"), part("b"), part("c")], 100) == [10, 45, 45]
    assert sizes([part("a", size_min="60MiB"), part("b"), part("c")], 100) == [60, 20, 20]
    assert sizes([part("a", size_max="10MiB"), part("b"), part("c")], 100) == [10, 45, 45]
    assert sizes([part("a", size_max="10MiB"), part("b", size_min="80MiB")], 100) == [10, 90]
    assert sizes([part("a", size_max="10MiB")], 100) == [10]
    assert sizes([part("a"), part("b"), part("c")], 100) == [33, 33, 34]


def test_equal_bounds_do_not_hide_each_other() -> None:
    twins = [part("a", size_max="10MiB"), part("b", size_max="10MiB"), part("c")]
    assert sizes(twins, 100) == [10, 10, 80]


def test_highest_priority_goes_first_and_the_last_of_those() -> None:
    parts = [
        part("root", size_min="50MiB", size_max="50MiB"),
        part("a", size="30MiB", priority=1),
        part("b", size="30MiB", priority=2),
        part("c", size="30MiB", priority=2),
    ]
    assert sizes(parts, 140) == [50, 30, 30, 30]
    assert sizes(parts, 139) == [50, 30, 30]
    assert sizes(parts, 109) == [50, 30]
    assert sizes(parts, 79) == [50]
    with pytest.raises(Unplannable, match=r"needs 50 MiB \(root 50\) and the disk has 49 MiB"):
        sizes(parts, 49)


@pytest.mark.parametrize(
    ("optimal_io", "width"),
    [
        (0, MiB),
        (4 * KiB, MiB),
        (MiB, MiB),
        (768 * KiB, 3 * MiB),
        (4 * MiB, 4 * MiB),
        (65535 * 512, MiB),
    ],
)
def test_grain(optimal_io: int, width: int) -> None:
    assert grain(optimal_io) == width


@pytest.mark.parametrize("sector", [512, 4096])
def test_room_leaves_both_ends_to_the_gpt(sector: int) -> None:
    start, end = usable(10 * GiB, sector)
    assert start == MiB
    assert end == 10 * GiB - MiB
    # 128 entries of 128 bytes, a header, and in front a protective MBR (UEFI 2.10, 5.3).
    assert start >= 2 * sector + 128 * 128
    assert usable(10 * GiB + 20 * KiB, sector)[1] + sector + 128 * 128 <= 10 * GiB + 20 * KiB


def test_a_disk_smaller_than_its_tables() -> None:
    with pytest.raises(Unplannable, match="has 0 MiB"):
        place([part("a")], disk_size=20 * KiB, logical_sector=4096)


mebibytes = st.integers(1, 5000)


@st.composite
def partitions(draw: st.DrawFn, number: int) -> Partition:
    priority = draw(st.integers(0, 3))
    if draw(st.booleans()):
        return part(f"p{number}", size=f"{draw(mebibytes)}MiB", priority=priority)
    least = draw(mebibytes)
    most = draw(st.none() | st.integers(least, 20_000))
    return part(
        f"p{number}",
        size_min=f"{least}MiB",
        size_max=f"{most}MiB" if most else "",
        weight=draw(st.integers(0, 5)),
        priority=priority,
    )


@st.composite
def layouts(draw: st.DrawFn) -> list[Partition]:
    return [draw(partitions(number)) for number in range(draw(st.integers(1, 8)))]


@given(
    layouts(),
    st.integers(1, 40_000 * MiB),
    st.sampled_from([512, 4096]),
    st.sampled_from([0, 64 * KiB, 768 * KiB, 4 * MiB]),
)
def test_any_layout_on_any_disk(
    parts: list[Partition], disk_size: int, sector: int, optimal_io: int
) -> None:
    def attempt() -> tuple[Extent, ...] | str:
        try:
            return place(parts, disk_size=disk_size, logical_sector=sector, optimal_io=optimal_io)
        except Unplannable as error:
            return error.message

    result = attempt()
    assert result == attempt()
    assume(not isinstance(result, str))
    assert not isinstance(result, str)
    step = grain(optimal_io)
    first, end = usable(disk_size, sector, optimal_io)
    position: int = first
    for extent in result:
        assert extent.start == position
        assert extent.start % step == extent.size % step == 0
        assert extent.size >= minimum(extent.partition)
        if extent.partition.size_max:
            most = max(parse_size(extent.partition.size_max), minimum(extent.partition))
            assert extent.size < most + step, human(extent.size)
        if extent.partition.size:
            assert extent.size < parse_size(extent.partition.size) + step
        position += extent.size
    assert position <= end or not result
    dropped = [p for p in parts if p not in [extent.partition for extent in result]]
    assert all(p.priority for p in dropped)
    if any(not (extent.partition.size or extent.partition.size_max) for extent in result):
        assert position == end, "something without an upper bound takes what is left"
