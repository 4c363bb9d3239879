# SPDX-License-Identifier: GPL-2.0-or-later
"""What one version of an image has that another has not, from their indexes alone.

Content is the same when all data of a file have the same digests at the same offsets. A file that
capture had cut elsewhere would count as changed; it cuts at places in the file, so that this does
not happen.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from swarmstrap.index import Entry, Frame, Index, Member

# Of an entry, in the order in which changes are told.
_METADATA = ("kind", "mode", "uid", "gid", "mtime", "size", "target", "device", "xattrs")


@dataclass(frozen=True, slots=True)
class Part:
    """Data of one file in one frame: where they belong in the file, as (offset, length)."""

    places: tuple[tuple[int, int], ...]
    digest: bytes

    @classmethod
    def of(cls, member: Member) -> "Part":
        return cls(tuple((s.file_offset, s.length) for s in member.segments), member.digest)


@dataclass(frozen=True, slots=True)
class Changed:
    """A path in both: whether its `content` is other, and which of its `metadata`."""

    path: bytes
    content: bool
    metadata: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Frames of the new version, and their bytes in the payload.

    Whoever keeps the old payload fetches all but the `shared` frames: `bytes_not_shared`. A node
    keeps files: it fetches the frames in which data of a file `changed`, `bytes_changed`.
    """

    frames: int
    shared: int
    changed: int
    bytes_all: int
    bytes_not_shared: int
    bytes_changed: int


@dataclass(frozen=True, slots=True)
class Difference:
    added: tuple[bytes, ...]
    changed: tuple[Changed, ...]
    removed: tuple[bytes, ...]
    moved: Moved


def compare(old: Index, new: Index) -> Difference:
    before = {entry.path: entry for entry in old.entries}
    after = {entry.path: entry for entry in new.entries}
    had, has = _contents(old), _contents(new)
    changed = (
        _changed(before[path], entry, had[path] != has[path])
        for path, entry in after.items()
        if path in before
    )
    return Difference(
        added=tuple(path for path in after if path not in before),
        changed=tuple(found for found in changed if found is not None),
        removed=tuple(path for path in before if path not in after),
        moved=_moved(old, new, had),
    )


def _contents(index: Index) -> defaultdict[bytes, list[Part]]:
    """By path; what has no data has an empty list."""
    contents: defaultdict[bytes, list[Part]] = defaultdict(list)
    for frame in index.frames:
        for member in frame.members:
            contents[index.entries[member.entry].path].append(Part.of(member))
    return contents


def _changed(old: Entry, new: Entry, content: bool) -> Changed | None:
    metadata = tuple(name for name in _METADATA if getattr(old, name) != getattr(new, name))
    return Changed(new.path, content, metadata) if content or metadata else None


def _moved(old: Index, new: Index, had: defaultdict[bytes, list[Part]]) -> Moved:
    kept = {frame.sha256 for frame in old.frames}
    not_shared = [frame for frame in new.frames if frame.sha256 not in kept]
    known = {(path, part) for path, parts in had.items() for part in parts}
    changed = [frame for frame, data in _data(new) if not known.issuperset(data)]
    return Moved(
        frames=len(new.frames),
        shared=len(new.frames) - len(not_shared),
        changed=len(changed),
        bytes_all=sum(frame.length for frame in new.frames),
        bytes_not_shared=sum(frame.length for frame in not_shared),
        bytes_changed=sum(frame.length for frame in changed),
    )


def _data(index: Index) -> Iterator[tuple[Frame, set[tuple[bytes, Part]]]]:
    """Each frame, and what is in it of which file."""
    for frame in index.frames:
        members = ((index.entries[member.entry].path, Part.of(member)) for member in frame.members)
        yield frame, set(members)
