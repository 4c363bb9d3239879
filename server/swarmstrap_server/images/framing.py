# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts a walk into frames: runs of whole tar members, or a part of one that is larger.

Where a frame ends depends only on the members after its middle (their path and size), or on the
place in a large file: a change leaves the frames elsewhere as they were, and two versions of an
image share them.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from swarmstrap.extents import Extents, total
from swarmstrap.index import Entry, Member, Segment, digest, shown
from swarmstrap.units import MiB
from swarmstrap_server.images import tarstream
from swarmstrap_server.images.source import CaptureFailed, Data
from swarmstrap_server.images.walk import Walk

# Measured at level 9 against one stream: frames of 4 MiB cost 3.8 %, of 8 MiB 1.0 %.
FRAME = 8 * MiB
_HALF = FRAME // 2
_MOST = FRAME + _HALF
# A file that is written to once in a while is quiet for one of a few readings.
_ATTEMPTS = 4


@dataclass(slots=True)
class RawFrame:
    """A frame before compression."""

    data: bytearray = field(default_factory=bytearray)
    members: list[Member] = field(default_factory=list)


class Framer:
    """Iterate once over the frames of a walk; then `entries`, `data_bytes` and `warnings` are
    complete. `inspect` sees the data of every file that is not larger than a frame.
    """

    def __init__(
        self, walk: Walk, inspect: Callable[[Entry, bytes], None] = lambda entry, data: None
    ) -> None:
        self._walk = walk
        self._inspect = inspect
        self._frame = RawFrame()
        self.entries: list[Entry] = []
        self.data_bytes = 0
        self.warnings: list[str] = []

    def __iter__(self) -> Iterator[RawFrame]:
        for entry in self._walk:
            if entry.kind == "f" and entry.size:
                yield from self._read(entry)
            else:
                yield from self._put(entry, (), b"")
        yield from self._cut()

    def _read(self, entry: Entry) -> Iterator[RawFrame]:
        """A whole file again while it changes; a large one is in frames on their way by then."""
        now: Entry | None = entry
        for _ in range(_ATTEMPTS):
            try:
                with self._walk.source.open(entry) as data:
                    extents = data.extents
                    if total(extents) > FRAME:
                        yield from self._split(entry, data)
                        return
                    content = read(data, extents)
                    if len(content) == total(extents) and not data.changed():
                        self._inspect(entry, content)
                        yield from self._put(entry, extents, content)
                        return
            except (FileNotFoundError, NotADirectoryError):
                pass
            now = self._walk.again(entry)
            if now is None:
                self.warnings.append(f"{shown(entry.path)} went away while it was captured")
                return
            entry = now
        raise _changed(entry)

    def _put(self, entry: Entry, extents: Extents, content: bytes) -> Iterator[RawFrame]:
        head = tarstream.header(entry, extents)
        padding = tarstream.padding(len(content))
        size = len(head) + len(content) + padding
        if len(self._frame.data) + size > _MOST:
            yield from self._cut()
        number = self._add(entry)
        frame = self._frame
        frame.data += head
        if content:
            segments = _segments(extents, len(frame.data))
            frame.members.append(Member(number, True, segments, digest([content])))
            frame.data += content
            frame.data += bytes(padding)
            self.data_bytes += len(content)
        if len(frame.data) >= _HALF and ends_frame(entry.path, size):
            yield from self._cut()

    def _split(self, entry: Entry, data: Data) -> Iterator[RawFrame]:
        yield from self._cut()
        number = self._add(entry)
        self._frame.data += tarstream.header(entry, data.extents)
        for extents in parts(data.extents):
            if self._frame.members:
                yield from self._cut()
            content = read(data, extents)
            if len(content) != total(extents) or data.changed():
                raise _changed(entry)
            frame = self._frame
            segments = _segments(extents, len(frame.data))
            frame.members.append(Member(number, False, segments, digest([content])))
            frame.data += content
            self.data_bytes += len(content)
        self._frame.data += bytes(tarstream.padding(total(data.extents)))
        yield from self._cut()

    def _add(self, entry: Entry) -> int:
        self.entries.append(entry)
        return len(self.entries) - 1

    def _cut(self) -> Iterator[RawFrame]:
        if self._frame.data:
            yield self._frame
            self._frame = RawFrame()


def ends_frame(path: bytes, size: int) -> bool:
    """Whether a frame over its half ends after this member of `size` bytes.

    A member ends it with a chance of its size in half a frame, drawn from its path: frames are
    about FRAME bytes on the average, however large the members are.
    """
    draw = int.from_bytes(hashlib.sha256(path).digest()[:8], "big")
    return draw * _HALF < size << 64


def parts(extents: Extents) -> Iterator[Extents]:
    """The data of a large file cut into parts of at least half a frame, but for the last.

    Cuts are at multiples of FRAME in the file, wherever its holes are: where another version has a
    hole more, the parts behind it are the same again.
    """
    part: list[tuple[int, int]] = []
    length = 0
    cell = 0
    for offset, rest in extents:
        while rest:
            if offset // FRAME != cell:
                cell = offset // FRAME
                if length >= _HALF:
                    yield tuple(part)
                    part, length = [], 0
            taken = min(rest, (cell + 1) * FRAME - offset)
            part.append((offset, taken))
            length += taken
            offset, rest = offset + taken, rest - taken
    if part:
        yield tuple(part)


def read(data: Data, extents: Extents) -> bytes:
    """The data in `extents`, one after the other; fewer bytes when the file has become shorter."""
    chunks: list[bytes] = []
    for offset, length in extents:
        end = offset + length
        while offset < end:
            chunk = data.pread(end - offset, offset)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            offset += len(chunk)
    return b"".join(chunks)


def _segments(extents: Extents, begin: int) -> tuple[Segment, ...]:
    """Where the data of `extents` lie in a frame, when they begin at `begin`."""
    segments = []
    for offset, length in extents:
        segments.append(Segment(offset, begin, length))
        begin += length
    return tuple(segments)


def _changed(entry: Entry) -> CaptureFailed:
    return CaptureFailed(
        f"{shown(entry.path)} changed while it was captured",
        hint="capture a tree that nobody writes to: a chroot, a snapshot, a stopped system",
    )
