# SPDX-License-Identifier: GPL-2.0-or-later
"""Where files have holes, and where large ones are cut."""

import os

import pytest
from tests.trees import scratch

from swarmstrap.extents import Extents, total
from swarmstrap.units import GiB, KiB, MiB
from swarmstrap_server.images.framing import FRAME, parts
from swarmstrap_server.images.sources.holes import BLOCK, canonical, coarser, extents


def test_the_smallest_holes_go_first() -> None:
    few = ((0, 10), (20, 10), (100_000, 10), (100_050, 10))
    assert coarser(few, 4) == few
    assert coarser(few, 2) == ((0, 30), (100_000, 60))
    assert coarser(few, 1) == ((0, 100_060),)


@pytest.mark.parametrize(
    ("said", "data", "expected"),
    [
        # A filesystem with blocks of 64 KiB made less of a hole than there is.
        ([(0, 65536)], {8192: b"x"}, ((8192, BLOCK),)),
        # One with blocks of 1 KiB made more of one: twice within a block of ours.
        ([(1024, 1024), (3072, 2048)], {1024: b"x", 4096: b"y"}, ((0, 2 * BLOCK),)),
        ([(0, 4096), (4096, 4096)], {0: b"x", 8191: b"y"}, ((0, 2 * BLOCK),)),
        ([(69632, 368)], {69999: b"x"}, ((69632, 368),)),
        ([(69632, 368)], {}, ()),
        ([], {}, ()),
        ([(0, 70000)], {}, ((0, 70000),)),
    ],
)
def test_holes_are_said_in_one_way(
    said: list[tuple[int, int]], data: dict[int, bytes], expected: Extents
) -> None:
    content = bytearray(70000)
    for offset, value in data.items():
        content[offset : offset + 1] = value

    def pread(size: int, offset: int) -> bytes:
        return bytes(content[offset : offset + size])

    assert canonical(pread, said, len(content)) == expected


def test_holes_of_real_files() -> None:
    with scratch() as place, (place / "file").open("w+b") as file:
        file.truncate(GiB)
        assert extents(file.fileno(), os.fstat(file.fileno())) == ()
        os.pwrite(file.fileno(), b"x", GiB - 1)
        os.pwrite(file.fileno(), bytes(MiB), MiB)  # zeros that take room are a hole as well
        assert extents(file.fileno(), os.fstat(file.fileno())) == ((GiB - BLOCK, BLOCK),)
        file.truncate(0)
        os.pwrite(file.fileno(), bytes(100), 0)
        os.fsync(file.fileno())
        assert extents(file.fileno(), os.fstat(file.fileno())) == ((0, 100),)


@pytest.mark.parametrize(
    ("whole", "sizes"),
    [
        (((0, FRAME),), [FRAME]),
        (((0, FRAME + 1),), [FRAME, 1]),
        (((0, 3 * FRAME),), [FRAME, FRAME, FRAME]),
        (((5, FRAME),), [FRAME - 5, 5]),
        # Little data in each cell: several go together.
        (tuple((n * FRAME, MiB) for n in range(10)), [4 * MiB, 4 * MiB, 2 * MiB]),
        (((0, FRAME // 2 - 1), (FRAME, FRAME)), [FRAME // 2 - 1 + FRAME]),
    ],
)
def test_parts_of_large_files(whole: Extents, sizes: list[int]) -> None:
    found = list(parts(whole))
    assert [total(part) for part in found] == sizes
    assert max(sizes) <= FRAME * 3 // 2
    assert coarser([extent for part in found for extent in part], 1) == coarser(whole, 1)


def test_parts_behind_another_hole_are_the_same() -> None:
    before = set(parts(((0, 20 * FRAME),)))
    after = set(parts(((0, 5 * FRAME + 100), (5 * FRAME + 64 * KiB, 15 * FRAME - 64 * KiB))))
    assert len(after - before) == 1
