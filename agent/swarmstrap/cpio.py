# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in an initramfs: the names of a run of cpio archives in the kernel's `newc` format.

The format is that of Documentation/driver-api/early-userspace/buffer-format.rst: archives follow
one another, with zeros between them, and what is compressed stands last.
"""

from collections.abc import Iterator
from typing import BinaryIO

from swarmstrap.errors import BadInput

_MAGICS = (b"070701", b"070702")
_HEADER = 110
_FIELDS = range(6, _HEADER, 8)
_SIZE, _NAME_SIZE = 6, 11  # of the header's 13 numbers
_TRAILER = b"TRAILER!!!"
_LONGEST_NAME = 4096  # PATH_MAX, which the kernel enforces
_CHUNK = 1 << 16


def names(stream: BinaryIO) -> tuple[list[str], bytes]:
    """Of the archives from where `stream` stands, and the first bytes of what follows them and is
    none: something compressed, or nothing. `stream` may come out of a decompressor.

    Raises BadInput for an archive that ends early or is damaged.
    """
    found: list[str] = []
    while (magic := _next_magic(stream)) in _MAGICS:
        found += _archive(stream, magic)
    return found, magic


def _next_magic(stream: BinaryIO) -> bytes:
    """Six bytes, from the first on that is not zero; fewer at the end."""
    while byte := stream.read(1):
        if byte != b"\0":
            return byte + stream.read(5)
    return b""


def _archive(stream: BinaryIO, magic: bytes) -> Iterator[str]:
    while True:
        header = magic + _exactly(stream, _HEADER - len(magic))
        if magic not in _MAGICS:
            raise BadInput(f"a member of a cpio archive begins with {magic!r}")
        size, length = _numbers(header)
        name = _exactly(stream, length).rstrip(b"\0")
        _skip(stream, -(_HEADER + length) % 4)
        if name == _TRAILER:
            return
        yield name.decode(errors="surrogateescape")
        _skip(stream, size + -size % 4)
        magic = _exactly(stream, 6)


def _numbers(header: bytes) -> tuple[int, int]:
    """Bytes of the member's content, and of its name."""
    try:
        fields = [int(header[place : place + 8], 16) for place in _FIELDS]
    except ValueError as error:
        raise BadInput("a cpio archive has a header of other than hex digits") from error
    if not 0 < fields[_NAME_SIZE] <= _LONGEST_NAME:
        raise BadInput(f"a cpio archive has a name of {fields[_NAME_SIZE]} bytes")
    return fields[_SIZE], fields[_NAME_SIZE]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise BadInput("a cpio archive ends early")
    return data


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        size -= len(_exactly(stream, min(size, _CHUNK)))
