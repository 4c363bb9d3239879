# SPDX-License-Identifier: GPL-2.0-or-later
"""What an index asks of the writers, by the moment at which it is done."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from swarmstrap.effects.images.writer import Piece, Room, WriteFrame
from swarmstrap.index import ROOT, Entry, Index, Segment


class Work:
    """`only` are the numbers of the entries to be written; all others are left out."""

    def __init__(self, index: Index, only: Collection[int]) -> None:
        self._index = index
        self._only = only
        members = [member for frame in index.frames for member in frame.members]
        filled = {member.entry for member in members}
        parts: defaultdict[int, list[Segment]] = defaultdict(list)
        for member in members:
            if not member.whole and member.entry in only:
                parts[member.entry].extend(member.segments)
        chosen = [(number, index.entries[number]) for number in sorted(only)]
        self.directories = _by_depth(entry for _, entry in chosen if entry.kind == "d")
        self.empty = [e for number, e in chosen if e.kind not in "dh" and number not in filled]
        self.split = [Room(index.entries[number], _joined(parts[number])) for number in parts]
        self.links = [entry for _, entry in chosen if entry.kind == "h"]

    def frame(self, number: int) -> WriteFrame:
        frame = self._index.frames[number]
        return WriteFrame(
            number=number,
            offset=frame.offset,
            length=frame.length,
            unpacked=frame.unpacked,
            sha256=frame.sha256,
            pieces=tuple(
                Piece(self._index.entries[member.entry], member.whole, member.segments)
                for member in frame.members
                if member.entry in self._only
            ),
        )


def _by_depth(directories: Iterable[Entry]) -> list[list[Entry]]:
    """None of them lies in another of its list or of a later one; the root is first."""
    levels: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in directories:
        levels[-1 if entry.path == ROOT else entry.path.count(b"/")].append(entry)
    return [levels[depth] for depth in sorted(levels)]


def _joined(segments: Iterable[Segment]) -> tuple[tuple[int, int], ...]:
    """Offset and length of what they cover of their file; an index has them in its order."""
    joined: list[tuple[int, int]] = []
    for segment in segments:
        begin, length = joined[-1] if joined else (0, 0)
        if begin + length == segment.file_offset and joined:
            joined[-1] = (begin, length + segment.length)
        else:
            joined.append((segment.file_offset, segment.length))
    return tuple(joined)
