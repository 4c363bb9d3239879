# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as a place for bytes: written, cleared and read without the page cache.

So an error comes with the offset it is about, and what is read is what the disk holds. Every error
is a StepFailed that names device and offset.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Literal

from swarmstrap.effects import libc
from swarmstrap.errors import StepFailed
from swarmstrap.index import Entry, Segment
from swarmstrap.units import GiB, MiB

# linux/fs.h; both take the start and the length in bytes.
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F
# linux/falloc.h: unmapped where possible, and zeros afterwards in any case.
_PUNCH_HOLE = 0x02 | 0x01
_CHUNK = 4 * MiB
# A slow disk must answer to a signal now and then while it fills itself with zeros.
_CLEARED_AT_ONCE = GiB

_HINTS = {
    errno.ENOSPC: "the disk is smaller than it says: look at what it is made of",
    errno.EIO: "see the kernel log, replace the disk",
    errno.EROFS: "the disk does not allow writing: look for a switch, see the kernel log",
    errno.EPERM: "the disk does not allow writing: look for a switch, see the kernel log",
}


class Device:
    """A block device, open until `close`."""

    def __init__(self, node: str, *, writing: bool = True) -> None:
        self.node = node
        flags = os.O_RDWR if writing else os.O_RDONLY
        with self._naming("open", 0):
            self._file = os.open(node, flags | os.O_CLOEXEC | os.O_DIRECT)
        # Direct transfers need memory that begins with a page.
        self._buffer = mmap.mmap(-1, _CHUNK)

    def close(self) -> None:
        os.close(self._file)

    def write(self, offset: int, data: memoryview) -> None:
        """Whole sectors."""
        for begin in range(0, len(data), _CHUNK):
            part = data[begin : begin + _CHUNK]
            self._buffer[: len(part)] = part
            with memoryview(self._buffer) as whole, whole[: len(part)] as out:
                self._write_all(offset + begin, out)

    def read(self, offset: int, size: int) -> Iterator[memoryview]:
        """Whole sectors, in parts that are good until the next one is asked for."""
        end = offset + size
        while offset < end:
            with memoryview(self._buffer) as whole, whole[: min(_CHUNK, end - offset)] as into:
                with self._naming("read", offset):
                    count = os.preadv(self._file, [into], offset)
                if not count:
                    raise self._failed("read", offset, "it ends there", "")
                with into[:count] as part:
                    yield part
            offset += count

    def clear(self, start: int, size: int, how: Literal["discard", "zero"]) -> None:
        """Discarded blocks may hold anything afterwards."""
        end = start + size
        while start < end:
            part = min(_CLEARED_AT_ONCE, end - start)
            if how == "zero" or not self._discards(start, part):
                self._zero(start, part)
            start += part

    def sync(self) -> None:
        with self._naming("sync", 0):
            os.fsync(self._file)

    def _write_all(self, offset: int, out: memoryview) -> None:
        while out:
            with self._naming("write", offset):
                count = os.pwritev(self._file, [out], offset)
            if not count:
                raise self._failed("write", offset, "it ends there", "")
            out = out[count:]
            offset += count

    def _discards(self, start: int, size: int) -> bool:
        """False when the disk knows no discarding."""
        try:
            fcntl.ioctl(self._file, BLKDISCARD, struct.pack("=QQ", start, size))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return False
            raise self._failed("discard", start, error.strerror, "") from error
        return True

    def _zero(self, start: int, size: int) -> None:
        try:
            libc.fallocate(self._file, _PUNCH_HOLE, start, size)
        except OSError:
            with self._naming("clear", start):
                fcntl.ioctl(self._file, BLKZEROOUT, struct.pack("=QQ", start, size))

    @contextlib.contextmanager
    def _naming(self, what: str, offset: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = _HINTS.get(error.errno or 0, "")
            raise self._failed(what, offset, error.strerror, hint) from error

    def _failed(self, what: str, offset: int, reason: str | None, hint: str) -> StepFailed:
        place = f" at byte {offset}" if what not in ("open", "sync") else ""
        return StepFailed(f"cannot {what} {self.node}{place}: {reason}", hint=hint)


class DiskTarget:
    """What a writer process does to a disk: its one file is the disk, and has no name there."""

    def __init__(self, node: str) -> None:
        self._device = Device(node)

    def make(self, entry: Entry) -> None:
        """The root directory has no place on a disk."""

    def reserve(self, entry: Entry, data: tuple[tuple[int, int], ...]) -> None:
        """A disk has its size."""

    def seal(self, entry: Entry) -> None:
        """And no metadata."""

    def write(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        for segment in segments:
            end = segment.frame_offset + segment.length
            self._device.write(segment.file_offset, data[segment.frame_offset : end])

    def write_part(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        self.write(entry, segments, data)

    def sync(self) -> None:
        self._device.sync()
