# SPDX-License-Identifier: GPL-2.0-or-later
"""Index: where every entry of the tar lies, so that a node never parses tar.

On disk it is one zstd stream over MessagePack. Paths and hard link targets are raw bytes, relative
to the image root, without a leading `./`; the first entry is the root itself, `.`. Times are
nanoseconds since 1970 and may be negative.
"""

import gc
import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import Manifest
from swarmstrap.units import MiB

# `h` is a hard link whose target is an earlier entry's path; sockets are never captured.
Kind = Literal["f", "d", "l", "h", "c", "b", "p"]
LINKABLE = frozenset({"f", "l", "c", "b", "p"})
FORMAT = 2
ROOT = b"."
# A folder of the target that a node stages the image's own files in, and removes with them.
STAGING = b".swarmstrap-staging"
_STAGED = b"/%b/" % STAGING

# Capture makes frames of about 8 MiB. A node takes no larger ones: it holds a whole frame in memory
# in every writer process.
MAX_FRAME = 64 * MiB
# zstd's own bound for data that do not compress (ZSTD_COMPRESSBOUND).
_MAX_COMPRESSED = MAX_FRAME + (MAX_FRAME >> 8)
# Some 8 million entries, and what one decompression may take from a node's memory.
MAX_INDEX = 1024 * MiB

_MAX_PATH = 4095  # PATH_MAX of Linux without the final NUL
_NO_NAMES = frozenset({b".", b".."})
_MAX_NAME = 255  # NAME_MAX of every filesystem Swarmstrap makes
_MAX_ID = 2**32 - 2  # the largest uid; -1 means "leave it" to chown
_MAX_OFFSET = 2**63 - 1
_MAJORS, _MINORS = 2**12, 2**20  # of Linux
# What MessagePack holds: the years 1677 to 2554.
MIN_TIME = -(2**63)
MAX_TIME = 2**64 - 1
_SHA256_BYTES = 32
# The first half of a sha256 (NIST SP 800-107 allows it): the index of a node carries one for every
# file, and they do not compress. Nobody gains from two files with one digest but the publisher.
DIGEST_BYTES = 16


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
    several frames, is created before them, and gets its metadata last. `digest` is that of the
    segments' data, one after the other: what is on a disk can be told from what should be.
    """

    entry: int
    whole: bool
    segments: tuple[Segment, ...]
    digest: bytes


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


def shown(path: bytes) -> str:
    """A path for people: quoted, on one line, in ASCII, whatever bytes it is made of."""
    return repr(path)[1:]


def digest(parts: Iterable[bytes | bytearray | memoryview]) -> bytes:
    """As in `Member.digest`, of the data that are `parts`, one after the other."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part)
    return content.digest()[:DIGEST_BYTES]


def encode(index: Index) -> bytes:
    return msgspec.msgpack.encode(index)


def decode(data: bytes) -> Index:
    """Decode the decompressed index; raises Untrusted when it is not one of this format."""
    collecting = gc.isenabled()
    # Tuples by the hundred thousand and no cycle: the collector would take as long as the decoder.
    gc.disable()
    try:
        index = msgspec.msgpack.decode(data, type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Untrusted(
            f"the image's index cannot be read: {error}", hint="publish the image again"
        ) from error
    finally:
        if collecting:
            gc.enable()
    if index.format != FORMAT:
        raise Untrusted(
            f"the image's index has format {index.format}, this agent reads {FORMAT}",
            hint="build the initramfs with the version that captured the image",
        )
    return index


def check(index: Index, manifest: Manifest) -> None:
    """Raises Untrusted unless `index` fits the manifest and cannot name anything outside a tree.

    After it: the root is first, every parent is an earlier directory, every hard link's target an
    earlier entry, no path comes twice, frames cover the payload without a gap, and no segment
    leaves its frame, its file or the order of the file's other segments.
    """
    if len(index.entries) != manifest.entries:
        raise _refused(f"it has {len(index.entries)} entries, the manifest {manifest.entries}")
    _check_entries(index.entries)
    end = 0
    for number, frame in enumerate(index.frames):
        if frame.offset != end or frame.length <= 0:
            raise _refused(f"frame {number} does not begin where the one before ends")
        if not 0 <= frame.unpacked <= MAX_FRAME:
            raise _refused(f"frame {number} unpacks to {frame.unpacked} bytes")
        if frame.length > _MAX_COMPRESSED:
            raise _refused(f"frame {number} has {frame.length} bytes")
        if len(frame.sha256) != _SHA256_BYTES:
            raise _refused(f"frame {number} has no sha256")
        end += frame.length
    if end != manifest.payload.size:
        raise _refused(f"its frames have {end} bytes, the payload {manifest.payload.size}")
    unpacked = _check_members(index)
    if unpacked != manifest.unpacked:
        raise _refused(f"its files have {unpacked} bytes of data, the manifest {manifest.unpacked}")


def _check_entries(entries: tuple[Entry, ...]) -> None:
    if not entries or entries[0].path != ROOT or entries[0].kind != "d":
        raise _refused("it does not begin with the root directory")
    kinds: dict[bytes, Kind] = {b"": "d"}
    for entry in entries:
        if not _is_new(entry, kinds) or _bad_values(entry):
            raise _refused(f"{shown(entry.path)} {_complaint(entry, kinds)}")
        kinds[entry.path] = entry.kind


def _is_new(entry: Entry, kinds: dict[bytes, Kind]) -> bool:
    """Whether it may follow the entries of `kinds`. That its parent is one of them leaves the last
    name of its path to be looked at, and a node waits for this before it writes anything.
    """
    path, kind = entry.path, entry.kind
    parent, slash, name = path.rpartition(b"/")
    if path in kinds or (kind == "h" and kinds.get(entry.target) not in LINKABLE):
        return False
    if not parent:
        return path == ROOT or not (slash or _bad_path(path))
    return (
        kinds.get(parent) == "d"
        and parent != ROOT
        and 0 < len(name) <= _MAX_NAME
        and len(path) <= _MAX_PATH
        and name not in _NO_NAMES
        and b"\0" not in name
    )


def _complaint(entry: Entry, kinds: dict[bytes, Kind]) -> str:
    reason = problem(entry)
    if reason is not None:
        return reason
    if entry.path in kinds:
        return "comes twice"
    if kinds.get(entry.path.rpartition(b"/")[0]) != "d":
        return "has a parent that is no earlier directory"
    return f"is a hard link to {shown(entry.target)}, which is nothing earlier to link to"


def problem(entry: Entry) -> str | None:
    """What keeps `entry` out of every index, whatever else is in it."""
    return (None if entry.path == ROOT else _bad_path(entry.path)) or _bad_values(entry)


def _bad_path(path: bytes) -> str | None:
    if not path or len(path) > _MAX_PATH or b"\0" in path:
        return "is not a path"
    between = b"/%b/" % path
    if b"//" in between or b"/./" in between or b"/../" in between:
        return "is not a path below the image root"
    if len(path) > _MAX_NAME and max(map(len, path.split(b"/"))) > _MAX_NAME:
        return "is not a path below the image root"
    if between.startswith(_STAGED):
        return "is where a node stages images"
    return None


# Asked of every entry: no generators, and what nearly all entries lack is asked for first.
def _bad_values(entry: Entry) -> str | None:
    if not 0 <= entry.mode <= 0o7777:
        return f"has mode {entry.mode:o}"
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        return f"has owner {entry.uid}:{entry.gid}"
    if not MIN_TIME <= entry.mtime <= MAX_TIME:
        return "has a time out of range"
    if entry.size and not (entry.kind == "f" and 0 < entry.size <= _MAX_OFFSET):
        return f"has size {entry.size}"
    if entry.kind == "l" and not 0 < len(entry.target) <= _MAX_PATH:
        return "is a symbolic link to nothing"
    if entry.target and (b"\0" in entry.target or entry.kind not in "lh"):
        return "has a target it cannot have"
    major, minor = entry.device
    if not (0 <= major < _MAJORS and 0 <= minor < _MINORS):
        return f"has device number {entry.device}"
    if entry.xattrs and any(not name or b"\0" in name for name, _ in entry.xattrs):
        return "has an extended attribute without a proper name"
    return None


def _check_members(index: Index) -> int:
    """The bytes of data in all files."""
    # Where the next segment of each file may begin at the earliest; None after a whole file.
    next_offset: dict[int, int | None] = {}
    unpacked = 0
    for number, frame in enumerate(index.frames):
        for member in frame.members:
            if not 0 <= member.entry < len(index.entries):
                raise _refused(f"frame {number} holds entry {member.entry}, which does not exist")
            entry = index.entries[member.entry]
            begin = next_offset.get(member.entry, 0)
            if entry.kind != "f" or not member.segments:
                raise _refused(f"{shown(entry.path)} has data it cannot have")
            if len(member.digest) != DIGEST_BYTES:
                raise _refused(f"{shown(entry.path)} has data without a digest")
            if begin is None or (member.whole and member.entry in next_offset):
                raise _refused(f"{shown(entry.path)} is in several frames, yet whole in one")
            for segment in member.segments:
                file_end = segment.file_offset + segment.length
                frame_end = segment.frame_offset + segment.length
                if segment.length <= 0 or segment.frame_offset < 0 or frame_end > frame.unpacked:
                    raise _refused(f"{shown(entry.path)} has data outside frame {number}")
                if not begin <= segment.file_offset < file_end <= entry.size:
                    raise _refused(f"{shown(entry.path)} has data outside itself")
                begin = file_end
                unpacked += segment.length
            next_offset[member.entry] = None if member.whole else begin
    return unpacked


def _refused(reason: str) -> Untrusted:
    return Untrusted(
        f"the image's index cannot be used: {reason}",
        hint="capture and publish the image again; nothing was written from it",
    )
