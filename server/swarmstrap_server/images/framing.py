# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts a walk into frames: runs of whole tar members, or a part of one that is larger.

Where a frame ends depends only on the members after its middle (their path and size), so that a
change in one place of a tree leaves the frames elsewhere as they were: two versions of an image
share them.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from swarmstrap.index import Entry, Member, Segment, digest, shown
from swarmstrap.units import MiB
from swarmstrap_server.images import tarstream
from swarmstrap_server.images.capture import CaptureFailed, Found, Walk

# Measured at level 9 against one stream: frames of 4 MiB cost 3.8 %, of 8 MiB 1.0 %.
FRAME = 8 * MiB
_HALF = FRAME // 2
_MOST = FRAME + _HALF


@dataclass(slots=True)
class RawFrame:
    """A frame before compression."""

    data: bytearray = field(default_factory=bytearray)
    members: list[Member] = field(default_factory=list)


class Framer:
    """Iterate once over the frames of a walk; then `entries` and `data_bytes` are complete."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.entries: list[Entry] = []
        self.data_bytes = 0

    def __iter__(self) -> Iterator[RawFrame]:
        frame = RawFrame()
        for found in self._walk:
            number = len(self.entries)
            self.entries.append(found.entry)
            head = tarstream.header(found.entry, found.extents)
            size = sum(length for _, length in found.extents)
            self.data_bytes += size
            if size > FRAME:
                if frame.data:
                    yield frame
                    frame = RawFrame()
                yield from self._split(number, found, head, size)
                continue
            member_size = len(head) + size + tarstream.padding(size)
            if frame.data and len(frame.data) + member_size > _MOST:
                yield frame
                frame = RawFrame()
            self._append(frame, number, found, head)
            if len(frame.data) >= _HALF and ends_frame(found.entry.path, member_size):
                yield frame
                frame = RawFrame()
        if frame.data:
            yield frame

    def _append(self, frame: RawFrame, number: int, found: Found, head: bytes) -> None:
        frame.data += head
        if not found.extents:
            return
        with _Reader(self._walk, found) as reader:
            begin = len(frame.data)
            segments = reader.read(frame.data, sum(length for _, length in found.extents))
        frame.members.append(Member(number, True, segments, _digest(frame, begin)))
        frame.data += bytes(tarstream.padding(len(frame.data)))

    def _split(self, number: int, found: Found, head: bytes, size: int) -> Iterator[RawFrame]:
        # Parts are counted in the file's data, not in the tar: another header leaves them alone.
        frame = RawFrame(bytearray(head))
        with _Reader(self._walk, found) as reader:
            for offset in range(0, size, FRAME):
                begin = len(frame.data)
                segments = reader.read(frame.data, min(FRAME, size - offset))
                frame.members.append(Member(number, False, segments, _digest(frame, begin)))
                if offset + FRAME >= size:
                    frame.data += bytes(tarstream.padding(size))
                yield frame
                frame = RawFrame()


def _digest(frame: RawFrame, begin: int) -> bytes:
    with memoryview(frame.data) as data:
        return digest(data[begin:])


def ends_frame(path: bytes, size: int) -> bool:
    """Whether a frame over its half ends after this member of `size` bytes.

    A member ends it with a chance of its size in half a frame, drawn from its path: frames are
    about FRAME bytes on the average, however large the members are.
    """
    draw = int.from_bytes(hashlib.sha256(path).digest()[:8], "big")
    return draw * _HALF < size << 64


class _Reader:
    """Reads a file's extents one after the other, and sees when the file changes meanwhile."""

    def __init__(self, walk: Walk, found: Found) -> None:
        self._path = found.entry.path
        self._mtime = found.entry.mtime
        self._size = found.entry.size
        self._location = walk.location(self._path)
        self._remaining = list(reversed(found.extents))
        self._file = -1

    def __enter__(self) -> "_Reader":
        self._file = os.open(self._location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def read(self, data: bytearray, size: int) -> tuple[Segment, ...]:
        """Append the next `size` bytes to `data`; the segments say where they belong."""
        segments = []
        while size:
            offset, length = self._remaining.pop()
            taken = min(length, size)
            if taken < length:
                self._remaining.append((offset + taken, length - taken))
            segments.append(Segment(offset, len(data), taken))
            self._read_exactly(data, offset, taken)
            size -= taken
        status = os.fstat(self._file)
        if (status.st_mtime_ns, status.st_size) != (self._mtime, self._size):
            raise self._changed()
        return tuple(segments)

    def _read_exactly(self, data: bytearray, offset: int, size: int) -> None:
        end = offset + size
        while offset < end:
            chunk = os.pread(self._file, end - offset, offset)
            if not chunk:
                raise self._changed()
            data += chunk
            offset += len(chunk)

    def _changed(self) -> CaptureFailed:
        return CaptureFailed(
            f"{shown(self._path)} changed while it was captured",
            hint="capture a tree that nobody writes to: a chroot, a snapshot, a stopped system",
        )
