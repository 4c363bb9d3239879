# SPDX-License-Identifier: GPL-2.0-or-later
"""Which frames of the payload are complete, as pieces of the torrent come in, in any order.

In a v2 torrent (BEP 52) every file begins at a piece boundary: the index file has the first
pieces, the payload the rest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from swarmstrap.index import Frame


def index_pieces(index_size: int, piece_length: int) -> range:
    """The pieces that hold the index file of `index_size` bytes."""
    return range(-(-index_size // piece_length))


def payload_pieces(index_size: int, payload_size: int, piece_length: int) -> range:
    """The pieces that hold the payload, which follows the index file."""
    first = len(index_pieces(index_size, piece_length))
    return range(first, first + -(-payload_size // piece_length))


def pieces_of(frames: Iterable[Frame], pieces: range, piece_length: int) -> set[int]:
    """Those of the payload's `pieces` that hold any of these frames."""
    found: set[int] = set()
    for frame in frames:
        end = frame.offset + frame.length
        found.update(pieces[frame.offset // piece_length : -(-end // piece_length)])
    return found


class Progress:
    """Turns finished pieces into complete frames. `pieces` are the payload's, all of
    `piece_length` bytes but the last; `frames` cover the payload in order, without a gap.
    """

    def __init__(self, frames: Sequence[Frame], pieces: range, piece_length: int) -> None:
        self._begins = [frame.offset for frame in frames]
        self._ends = [frame.offset + frame.length for frame in frames]
        self._pieces = pieces
        self._piece_length = piece_length
        self._seen = bytearray(len(pieces))
        self._missing = [
            (end - 1) // piece_length - begin // piece_length + 1
            for begin, end in zip(self._begins, self._ends, strict=True)
        ]
        self.frames = len(frames)
        self.complete = 0

    def have(self, piece: int) -> tuple[int, ...]:
        """The frames that `piece` completes; none if it was seen before or is not the payload's."""
        if piece not in self._pieces:
            return ()
        place = piece - self._pieces.start
        if self._seen[place]:
            return ()
        self._seen[place] = True
        begin = place * self._piece_length
        first = bisect_right(self._ends, begin)
        last = bisect_left(self._begins, begin + self._piece_length)
        completed = []
        for frame in range(first, last):
            self._missing[frame] -= 1
            if not self._missing[frame]:
                completed.append(frame)
        self.complete += len(completed)
        return tuple(completed)
