# SPDX-License-Identifier: GPL-2.0-or-later
"""Pieces in any order complete each frame exactly once, and not before its last byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from swarmstrap.frames import Progress, index_pieces, payload_pieces
from swarmstrap.index import Frame


def frames_of(lengths: list[int]) -> list[Frame]:
    offsets = [sum(lengths[:number]) for number in range(len(lengths))]
    return [
        Frame(offset, length, 0, bytes(32), ())
        for offset, length in zip(offsets, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("index", "payload", "expected"),
    [(1, 1, range(1, 2)), (64, 64, range(1, 2)), (65, 128, range(2, 4)), (128, 129, range(2, 5))],
)
def test_the_payload_begins_at_a_piece(index: int, payload: int, expected: range) -> None:
    assert payload_pieces(index, payload, 64) == expected
    assert index_pieces(index, 64) == range(expected.start)


def test_frames_within_over_and_at_the_edge_of_pieces() -> None:
    # Pieces of 10 bytes:  |0123456789|0123456789|0123456789|
    # frames:               aaaabbbbbbb bbbbbbbbbc cccccccccc dddd
    frames = frames_of([4, 16, 10, 4])
    progress = Progress(frames, payload_pieces(25, 34, 10), 10)
    assert progress.have(2) == ()  # the index's
    assert progress.have(4) == ()
    assert progress.have(3) == (0, 1)
    assert progress.have(3) == ()
    assert progress.have(6) == (3,)
    assert progress.have(7) == ()
    assert progress.complete == 3
    assert progress.have(5) == (2,)
    assert progress.complete == progress.frames == 4


@given(some.data())
def test_any_order(data: some.DataObject) -> None:
    lengths = data.draw(some.lists(some.integers(1, 50), min_size=1, max_size=30))
    piece_length = data.draw(some.integers(1, 40))
    frames = frames_of(lengths)
    pieces = payload_pieces(data.draw(some.integers(0, 99)), sum(lengths), piece_length)
    order = data.draw(some.permutations(list(pieces)))
    progress = Progress(frames, pieces, piece_length)
    present: set[int] = set()
    completed: list[int] = []
    for piece in order:
        begin = (piece - pieces.start) * piece_length
        present |= set(range(begin, begin + piece_length))
        completed += progress.have(piece)
        readable = [
            number
            for number, frame in enumerate(frames)
            if present >= set(range(frame.offset, frame.offset + frame.length))
        ]
        assert sorted(completed) == readable
    assert sorted(completed) == list(range(len(frames)))
