# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic on parts of a disk, against sets of bytes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.extents import Extents, common, gaps, merged, total, widened, without

END = 64
PARTS = st.lists(
    st.integers(0, END - 1).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, END - a)))
)


def bytes_of(extents: Extents) -> set[int]:
    return {place for start, size in extents for place in range(start, start + size)}


def is_normal(extents: Extents) -> bool:
    apart = all(sum(a) < b[0] for a, b in pairwise(extents))
    return apart and all(size > 0 for _, size in extents)


@given(PARTS, PARTS)
def test_like_sets(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    one, other = merged(some), merged(others)
    assert bytes_of(one) == {p for start, size in some for p in range(start, start + size)}
    assert bytes_of(gaps(one, END)) == set(range(END)) - bytes_of(one)
    assert bytes_of(common(one, other)) == bytes_of(one) & bytes_of(other)
    assert bytes_of(without(one, other)) == bytes_of(one) - bytes_of(other)
    assert total(one) == len(bytes_of(one))
    results = (one, gaps(one, END), common(one, other), without(one, other), widened(one, 8, END))
    assert all(is_normal(result) for result in results)


@given(PARTS)
def test_widened_to_whole_grains_that_it_touches(parts: list[tuple[int, int]]) -> None:
    one = merged(parts)
    touched = {place // 8 for place in bytes_of(one)}
    assert bytes_of(widened(one, 8, 60)) == {p for p in range(60) if p // 8 in touched}


def test_gaps_end_where_they_are_told() -> None:
    assert gaps(((0, 4), (10, 10)), 8) == ((4, 4),)
