# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of a disk as (start, size) in bytes: sorted, none empty, none touching the next."""

from collections.abc import Iterable, Iterator

Extents = tuple[tuple[int, int], ...]


def merged(parts: Iterable[tuple[int, int]]) -> Extents:
    """Any parts, in any order, as extents."""
    result: list[tuple[int, int]] = []
    for start, size in sorted(part for part in parts if part[1] > 0):
        if result and start <= sum(result[-1]):
            first = result[-1][0]
            result[-1] = (first, max(sum(result[-1]), start + size) - first)
        else:
            result.append((start, size))
    return tuple(result)


def gaps(extents: Extents, end: int) -> Extents:
    """What of the first `end` bytes is in none of them."""
    return tuple(_gaps(extents, end))


def _gaps(extents: Extents, end: int) -> Iterator[tuple[int, int]]:
    reached = 0
    for start, size in extents:
        if reached < min(start, end):
            yield reached, min(start, end) - reached
        reached = start + size
    if reached < end:
        yield reached, end - reached


def common(one: Extents, other: Extents) -> Extents:
    """What is in both."""
    return tuple(_common(one, other))


def _common(one: Extents, other: Extents) -> Iterator[tuple[int, int]]:
    i = j = 0
    while i < len(one) and j < len(other):
        start = max(one[i][0], other[j][0])
        end = min(sum(one[i]), sum(other[j]))
        if start < end:
            yield start, end - start
        if sum(one[i]) < sum(other[j]):
            i += 1
        else:
            j += 1


def without(extents: Extents, others: Extents) -> Extents:
    """What of `extents` is in none of `others`."""
    return common(extents, gaps(others, sum(extents[-1]))) if extents else ()


def widened(extents: Extents, grain: int, end: int) -> Extents:
    """Out to multiples of `grain`, but not over `end`."""
    wide = []
    for start, size in extents:
        first = start // grain * grain
        wide.append((first, min(end, -(-(start + size) // grain) * grain) - first))
    return merged(wide)


def total(extents: Extents) -> int:
    return sum(size for _, size in extents)
