# SPDX-License-Identifier: GPL-2.0-or-later
"""Decompression with every size known, and every digest checked, before memory is taken for it."""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from swarmstrap.errors import SwarmstrapError, Untrusted
from swarmstrap.index import MAX_INDEX, Index, check, decode
from swarmstrap.manifest import INDEX_FILE, Manifest

# What reading from `open_stream` raises for bytes that are damaged.
Damaged = zstandard.ZstdError


class NotYetReadable(SwarmstrapError):
    """Bytes are not in their file, or not yet the right ones: a piece that libtorrent calls
    finished was seen to become readable up to 0.7 s later. Ask again.
    """


def decompress(data: bytes, unpacked: int) -> bytes:
    """The content of one zstd frame; raises Untrusted unless it is exactly `unpacked` bytes."""
    try:
        # The library would allocate whatever the frame's header claims.
        claimed = zstandard.frame_content_size(data)
        if claimed != unpacked:
            raise Untrusted(f"a frame claims {claimed} bytes where {unpacked} are expected")
        content = zstandard.ZstdDecompressor().decompress(
            data, max_output_size=unpacked, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise Untrusted(f"a frame cannot be decompressed: {error}") from error
    if len(content) != unpacked:
        raise Untrusted(f"a frame has {len(content)} bytes where {unpacked} are expected")
    return content


def load_index(path: Path, manifest: Manifest) -> Index:
    """`index_from` a file."""
    return index_from(path.read_bytes(), manifest)


def index_from(data: bytes, manifest: Manifest) -> Index:
    """The index that `manifest` names, checked against it.

    Raises NotYetReadable for other bytes, Untrusted when it cannot be used.
    """
    if hashlib.sha256(data).hexdigest() != manifest.index.sha256:
        raise NotYetReadable(f"{INDEX_FILE} does not have the manifest's digest (yet)")
    try:
        size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise Untrusted(f"{INDEX_FILE} is not a zstd file: {error}") from error
    if not 0 <= size <= MAX_INDEX:
        raise Untrusted(f"{INDEX_FILE} claims {size} bytes", hint="publish the image again")
    index = decode(decompress(data, size))
    check(index, manifest)
    return index


def open_stream(file: BinaryIO) -> BinaryIO:
    """The content of a run of frames whose sizes nobody promised, to be read a little at a time."""
    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream)))
