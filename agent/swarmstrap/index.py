# SPDX-License-Identifier: GPL-2.0-or-later
"""Index: where every entry of the tar lies, so that a node never parses tar.

On disk it is one zstd stream over MessagePack. Paths and link targets are raw bytes, relative to
the image root, without a leading `./`; times are nanoseconds since 1970 and may be negative.
"""

from typing import Literal

import msgspec

# `h` is a hard link whose target is an earlier entry's path; sockets are never captured.
Kind = Literal["f", "d", "l", "h", "c", "b", "p"]
FORMAT = 1


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One name in the tree. `size` is apparent bytes; `device` is (major, minor) for c and b."""

    path: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Segment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`length` bytes at `frame_offset` of the decompressed frame belong at `file_offset`."""

    file_offset: int
    frame_offset: int
    length: int


class Member(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """File data in one frame. `entry` is an index into `Index.entries`.

    A regular file whose data lie in this frame only is `whole`; otherwise it is spread over
    several frames, is created before them, and gets its metadata last.
    """

    entry: int
    whole: bool
    segments: tuple[Segment, ...]


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An independent zstd frame: `offset` and `length` in the payload, sha256 of those bytes."""

    offset: int
    length: int
    unpacked: int
    sha256: bytes
    members: tuple[Member, ...]


class Index(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: int
    entries: tuple[Entry, ...]
    frames: tuple[Frame, ...]
