# SPDX-License-Identifier: GPL-2.0-or-later
"""A compressed file as one that can be read at any place: unpacked into a file without a name."""

import bz2
import gzip
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from swarmstrap.errors import BadInput
from swarmstrap.units import GiB, MiB, human
from swarmstrap_server.images.compress import DAMAGED, unpacked
from swarmstrap_server.images.source import CaptureFailed, Report
from swarmstrap_server.images.sources.kept import Store
from swarmstrap_server.run import conversation

Compression = Literal["none", "gzip", "bzip2", "xz", "zstd", "lz4"]

_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_LONGEST_MAGIC = max(len(magic) for magic in _MAGIC)
_CHUNK = 4 * MiB
# Programs shrink to a third, zeros to a thousandth; what goes on and on is a trap.
_MOST_RATIO = 1000
_ALWAYS_ALLOWED = GiB
# Left free on the disk that is unpacked to.
_RESERVE = GiB
_LZ4_SECONDS = 120.0


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def compression(head: bytes) -> Compression:
    """By the first bytes of a file."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "none")


def most_unpacked(size: int, folder: Path) -> int:
    """To how many bytes a file of `size` may unpack in `folder`."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize - _RESERVE
    return max(0, min(free, _ALWAYS_ALLOWED + _MOST_RATIO * size))


@contextmanager
def plain(path: Path, folder: Path, report: Report) -> Iterator[Store]:
    """The bytes of `path`, unpacked below `folder` when they are compressed, else in their place.

    Raises CaptureFailed when it is damaged, cut off, or unpacks to more than a disk can take.
    """
    with path.open("rb") as file:
        kind = compression(file.read(_LONGEST_MAGIC))
        file.seek(0)
        if kind == "none":
            yield Store(file.fileno())
            return
        size = os.fstat(file.fileno()).st_size
        chunks = _lz4(path) if kind == "lz4" else unpack(file, kind, str(path))
        with tempfile.TemporaryFile(dir=folder) as spool:
            limit = most_unpacked(size, folder)
            write(chunks, spool, limit, str(path), lambda done: report("unpacking", done, None))
            yield Store(spool.fileno())


def unpack(file: BinaryIO, kind: Compression, name: str) -> Iterator[bytes]:
    """What is in `file`, piece by piece; `name` is for messages."""
    try:
        match kind:
            case "none":
                yield from _pieces(file)
            case "gzip":
                yield from _pieces(gzip.open(file))
            case "bzip2":
                yield from _pieces(bz2.open(file))
            case "xz":
                yield from _pieces(lzma.open(file))
            case "zstd":
                yield from unpacked(file)
            case "lz4":
                raise BadInput(f"{name} is compressed by lz4", hint="use gzip or zstd")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, DAMAGED) as error:
        raise CaptureFailed(
            f"{name} cannot be unpacked: {error}", hint="it is damaged or cut off: get it again"
        ) from error


def _pieces(file: Readable) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def write(
    chunks: Iterator[bytes],
    spool: BinaryIO,
    limit: int,
    name: str,
    written: Callable[[int], None] = lambda done: None,
) -> None:
    """Everything into `spool`, but no more than `limit` bytes."""
    done = 0
    for chunk in chunks:
        done += len(chunk)
        if done > limit:
            raise CaptureFailed(
                f"{name} unpacks to more than {human(limit)}",
                hint="either it is made to fill the disk, or the site needs a larger one",
            )
        spool.write(chunk)
        written(done)
    spool.flush()


def _lz4(path: Path) -> Iterator[bytes]:
    with conversation(["lz4", "-d", "-c", "--", path.resolve()]) as lz4:
        while chunk := lz4.hear(_LZ4_SECONDS):
            yield chunk
        completed = lz4.end(_LZ4_SECONDS)
    if completed.returncode:
        raise CaptureFailed(
            f"{path} cannot be unpacked: {completed.stderr.strip().splitlines()[-1]}",
            hint="it is damaged or cut off: get it again",
        )
