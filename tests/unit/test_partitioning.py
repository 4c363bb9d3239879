# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic of partitions: a few sums by hand, and rules that hold for any disk and layout."""

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Partition, Table, ThinPool
from swarmstrap.partitioning import Extent, grain, place, sizes, usable
from swarmstrap.units import Bytes, GiB, KiB, MiB, TiB, is_share, parse_share


def part(label: str, **sizes: str | int) -> Partition:
    return Partition(label=label, type="linux", **sizes)  # type: ignore[arg-type]


def placed(parts: list[Partition], room: int) -> list[int]:
    """Sizes in MiB on a disk with `room` MiB between the ends."""
    extents = place(parts, disk_size=(room + 2) * MiB, logical_sector=512)
    return [extent.size // MiB for extent in extents]


def test_shares_follow_weights_within_bounds() -> None:
    assert placed([part("a"), part("b", weight=3)], 100) == [25, 75]
    assert placed([part("a", size="10MiB"), part("b"), part("c")], 100) == [10, 45, 45]
    assert placed([part("a", size_min="60MiB"), part("b"), part("c")], 100) == [60, 20, 20]
    assert placed([part("a", size_max="10MiB"), part("b"), part("c")], 100) == [10, 45, 45]
    assert placed([part("a", size_max="10MiB"), part("b", size_min="80MiB")], 100) == [10, 90]
    assert placed([part("a", size_max="10MiB")], 100) == [10]
    assert placed([part("a"), part("b"), part("c")], 100) == [33, 33, 34]


def test_equal_bounds_do_not_hide_each_other() -> None:
    twins = [part("a", size_max="10MiB"), part("b", size_max="10MiB"), part("c")]
    assert placed(twins, 100) == [10, 10, 80]


def test_highest_priority_goes_first_and_the_last_of_those() -> None:
    parts = [
        part("root", size_min="50MiB", size_max="50MiB"),
        part("a", size="30MiB", priority=1),
        part("b", size="30MiB", priority=2),
        part("c", size="30MiB", priority=2),
    ]
    assert placed(parts, 140) == [50, 30, 30, 30]
    assert placed(parts, 139) == [50, 30, 30]
    assert placed(parts, 109) == [50, 30]
    assert placed(parts, 79) == [50]
    with pytest.raises(Unplannable, match=r"needs 50 MiB \(root 50\) and there are 49 MiB"):
        placed(parts, 49)


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
    with pytest.raises(Unplannable, match="are 0 MiB"):
        place([part("a")], disk_size=20 * KiB, logical_sector=4096)


def test_shares_are_of_all_the_room() -> None:
    assert placed([part("a", size="25%"), part("b")], 100) == [25, 75]
    assert placed([part("a", size="50%"), part("b", size="50%")], 101) == [50, 50]
    assert placed([part("a", size_min="10%", size_max="20%"), part("b")], 100) == [20, 80]
    assert placed([part("a", size="10MiB"), part("b", size="0.1%")], 100) == [10, 1]
    with pytest.raises(Unplannable, match=r"needs 110 MiB \(a 10, b 100\) and there are 100 MiB"):
        placed([part("a", size="10MiB"), part("b", size="100%")], 100)


def test_an_mbr_ends_where_its_sectors_do() -> None:
    assert usable(10 * GiB, 512, table="msdos") == (MiB, 10 * GiB)
    assert usable(8 * TiB, 512, table="msdos") == (MiB, 2 * TiB - MiB)
    assert usable(8 * TiB, 4096, table="msdos") == (MiB, 8 * TiB)


def test_volumes_of_a_group_share_its_room() -> None:
    pools = {"a": ThinPool(name="a", size="75%"), "b": ThinPool(name="b")}
    assert sizes(pools, room=Bytes(400 * MiB), step=Bytes(4 * MiB)) == {
        "a": 300 * MiB,
        "b": 100 * MiB,
    }


def kept(label: str, number: int, start: int, size: int) -> Extent:
    return Extent(part(label), number, Bytes(start * MiB), Bytes(size * MiB))


def places(parts: list[Partition], *stays: Extent, room: int = 100) -> list[tuple[int, int, int]]:
    """Number, start and size in MiB, on a disk with `room` MiB from its first MiB on."""
    extents = place(parts, disk_size=(room + 2) * MiB, logical_sector=512, kept=stays)
    return [(e.number, e.start // MiB, e.size // MiB) for e in extents]


def test_what_is_kept_stays_and_the_rest_goes_around_it() -> None:
    parts = [part("a", size="10MiB"), part("b"), part("home"), part("c", weight=2), part("d")]
    assert places(parts, kept("home", 2, 41, 30)) == [
        (1, 1, 10),
        (3, 11, 30),
        (2, 41, 30),
        (4, 71, 20),
        (5, 91, 10),
    ]
    # The layout's order is the disk's: whoever wants all behind it lists it first.
    first = [part("home"), part("a", size="10MiB"), part("b")]
    assert places(first, kept("home", 1, 1, 30)) == [(1, 1, 30), (2, 31, 10), (3, 41, 60)]
    with pytest.raises(Unplannable, match="there are 0 MiB before home"):
        places(parts, kept("home", 1, 1, 30))
    with pytest.raises(Unplannable, match="there are 0 MiB behind home"):
        places(parts, kept("home", 1, 71, 30))


def test_a_dropped_partition_is_of_the_gap_that_is_too_small() -> None:
    parts = [part("a", size="30MiB"), part("home"), part("b", size="30MiB", priority=1)]
    assert places(parts, kept("home", 7, 61, 20)) == [(1, 1, 30), (7, 61, 20)]


def test_kept_partitions_are_in_the_order_of_the_disk() -> None:
    parts = [part("home"), part("srv")]
    assert places(parts, kept("home", 2, 5, 5), kept("srv", 1, 10, 5)) == [(2, 5, 5), (1, 10, 5)]
    with pytest.raises(Unplannable, match="srv is to be preserved and does not lie behind home"):
        places(parts, kept("home", 2, 20, 5), kept("srv", 1, 10, 5))


# Small beside most disks, so that most layouts fit, and large beside some.
mebibytes = st.integers(1, 50) | st.integers(1, 5000)


def shares_of(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return amounts.map(lambda size: f"{size}MiB") | st.integers(1, 60).map(lambda part: f"{part}%")


@st.composite
def partitions(draw: st.DrawFn, number: int) -> Partition:
    priority = draw(st.integers(0, 3))
    if draw(st.booleans()):
        return part(f"p{number}", size=draw(shares_of(mebibytes)), priority=priority)
    return part(
        f"p{number}",
        size_min=draw(st.just("") | shares_of(mebibytes)),
        size_max=draw(st.just("") | shares_of(st.integers(5000, 20_000))),
        weight=draw(st.integers(0, 5)),
        priority=priority,
    )


@st.composite
def layouts(draw: st.DrawFn) -> list[Partition]:
    return [draw(partitions(number)) for number in range(draw(st.integers(1, 8)))]


@st.composite
def stays(draw: st.DrawFn, parts: list[Partition], disk_size: int) -> list[Extent]:
    """Some of `parts` as they may lie on a disk: in order, and at any sector."""
    chosen = draw(st.lists(st.sampled_from(parts), unique=True, max_size=3))
    # Not aligned to anything, and mostly with room around them.
    sixths = disk_size // 512 // 6
    bounds = [sixth * sixths + draw(st.integers(1, sixths)) for sixth in range(6)]
    in_order = sorted(chosen, key=parts.index)
    numbers = draw(st.permutations(range(1, 10)))
    return [
        Extent(chosen, number, Bytes(512 * low), Bytes(512 * (high - low)))
        for chosen, number, low, high in zip(
            in_order, numbers, bounds[::2], bounds[1::2], strict=False
        )
    ]


@given(
    st.data(),
    layouts(),
    st.integers(MiB, 40_000 * MiB) | st.integers(4000 * MiB, 40_000 * MiB),
    st.sampled_from([512, 4096]),
    st.sampled_from([0, 64 * KiB, 768 * KiB, 4 * MiB]),
    st.sampled_from(["gpt", "msdos"]),
)
def test_any_layout_on_any_disk(
    data: st.DataObject,
    parts: list[Partition],
    disk_size: int,
    sector: int,
    optimal_io: int,
    table: Table,
) -> None:
    there = data.draw(stays(parts, disk_size))
    event(f"{len(there)} are kept")

    def attempt() -> tuple[Extent, ...] | str:
        try:
            return place(
                parts,
                disk_size=disk_size,
                logical_sector=sector,
                optimal_io=optimal_io,
                table=table,
                kept=there,
            )
        except Unplannable as error:
            return error.message

    result = attempt()
    assert result == attempt()
    assume(not isinstance(result, str))
    assert not isinstance(result, str)
    step = grain(optimal_io)
    first, end = usable(disk_size, sector, optimal_io, table)
    room = max(0, end - first)
    assert [extent for extent in result if extent in there] == there
    assert len({extent.number for extent in result}) == len(result)
    reached = 0
    for extent in result:
        assert extent.start >= reached, "no two overlap"
        reached = extent.start + extent.size
        if extent not in there:
            check_new(extent, step, room)
            assert first <= extent.start
            assert reached <= end
    dropped = [p for p in parts if p not in [extent.partition for extent in result]]
    assert all(p.priority for p in dropped)
    if any(extent not in there and not bounded(extent.partition) for extent in result):
        assert there or reached == end, "something without an upper bound takes what is left"


def bounded(partition: Partition) -> bool:
    return bool(partition.size or partition.size_max)


def check_new(extent: Extent, step: int, room: int) -> None:
    """Whole grains, not less than the least and not more than the most, but for the rounding."""
    partition = extent.partition
    assert extent.start % step == extent.size % step == 0
    least = partition.size or partition.size_min or "1B"
    # Shares are rounded down, sizes up.
    slack = step - 1 if is_share(least) else 0
    assert extent.size + slack >= parse_share(least, room)
    if most := partition.size or partition.size_max:
        bound = max(parse_share(most, room), parse_share(least, room))
        assert extent.size < bound + step
