# SPDX-License-Identifier: GPL-2.0-or-later
"""The holes of a file, said in one way whatever filesystem it lies on."""

import os
from collections.abc import Callable, Sequence

from swarmstrap.extents import Extents, merged, widened

# Filesystems round holes to their own blocks, most to this.
BLOCK = 4096
_ZEROS = bytes(BLOCK)
_CHUNK = 256 * BLOCK
# A sparse map is part of a tar header, and a header must fit into a frame.
MAX_EXTENTS = 16384

# Bytes, at most so many, from an offset on.
Pread = Callable[[int, int], bytes]


def extents(file: int, status: os.stat_result) -> Extents:
    """The parts of an open file that are no holes; one part when it has none.

    In a file that has holes every aligned block of zeros counts as one, so that another filesystem,
    which made larger ones or smaller ones, gives the same answer. A file that takes up as much room
    as it is long has none, even if parts of it were never written.
    """
    size = status.st_size
    if status.st_blocks * 512 >= size:
        return ((0, size),) if size else ()
    return canonical(
        lambda length, offset: os.pread(file, length, offset), as_said(file, size), size
    )


def canonical(pread: Pread, said: Sequence[tuple[int, int]], size: int) -> Extents:
    """The same for a file that is read by `pread`, whose parts that are not holes are `said`."""
    if list(said) == [(0, size)]:
        return tuple(said)
    return coarser(without_zeros(pread, widened(merged(said), BLOCK, size)), MAX_EXTENTS)


def as_said(file: int, size: int) -> list[tuple[int, int]]:
    """By the filesystem."""
    found = []
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError:
            break  # ENXIO: a hole up to the end
        end = min(os.lseek(file, begin, os.SEEK_HOLE), size)
        found.append((begin, end - begin))
    return found


def without_zeros(pread: Pread, parts: Extents) -> list[tuple[int, int]]:
    """`parts` without the blocks of zeros in them."""
    found: list[tuple[int, int]] = []
    for begin, length in parts:
        end = begin + length
        for place in range(begin, end, _CHUNK):
            data = pread(min(_CHUNK, end - place), place)
            for offset in range(0, len(data), BLOCK):
                block = data[offset : offset + BLOCK]
                if block != _ZEROS[: len(block)]:
                    _append(found, place + offset, len(block))
    return found


def _append(found: list[tuple[int, int]], begin: int, length: int) -> None:
    if found and sum(found[-1]) == begin:
        found[-1] = (found[-1][0], found[-1][1] + length)
    else:
        found.append((begin, length))


def coarser(extents: Sequence[tuple[int, int]], limit: int) -> Extents:
    """The same data in at most `limit` extents: the smallest holes become zeros."""
    gap = BLOCK
    while len(extents) > limit:
        gap *= 2
        joined = [extents[0]]
        for begin, length in extents[1:]:
            last_begin, last_length = joined[-1]
            if begin - (last_begin + last_length) < gap:
                joined[-1] = (last_begin, begin + length - last_begin)
            else:
                joined.append((begin, length))
        extents = joined
    return tuple(extents)
