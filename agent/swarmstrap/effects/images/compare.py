# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a tree as `swarmstrap.comparing` wants to know it. Blocking; nothing is changed."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from swarmstrap.comparing import FoundTree, Seen
from swarmstrap.difference import Held
from swarmstrap.effects.disks.mounts import read_mounts
from swarmstrap.effects.images.entries import opened
from swarmstrap.effects.images.passages import Passages
from swarmstrap.effects.images.writer import ownerless_devices
from swarmstrap.errors import StepFailed
from swarmstrap.index import ROOT, Entry, Index, Member, digest, shown
from swarmstrap.mountinfo import contains
from swarmstrap.preserving import Rules
from swarmstrap.status import entry_of, kind_of
from swarmstrap.units import MiB

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_tree(
    root: Path, index: Index, rules: Rules, mounts: Collection[str] = ("/",)
) -> FoundTree:
    """Everything below `root` that an update with these rules has to know of. Of what is mounted
    there only `mounts`, paths of the installed system, are part of it.
    """
    top = os.path.realpath(os.fsencode(root))
    mounted = read_mounts()
    points = {os.path.relpath(m.point, top) for m in mounted if contains(top, m.point)}
    foreign = points - {os.fsencode(mount).lstrip(b"/") or ROOT for mount in mounts} - {ROOT}
    directories = {entry.path for entry in index.entries if entry.kind == "d"}

    def enter(path: bytes) -> bool:
        """What stays as a whole is of no interest, unless the image has something in it."""
        if path in foreign:
            return False
        if path in directories:
            return True
        return not rules.untouched(path) and not rules.may_add(path)

    with contextlib.closing(Passages(root)) as passages:
        found = dict(_walk(passages, enter))
    return FoundTree(found, frozenset(foreign), ownerless_devices(mounted))


def read_data(
    root: Path, index: Index, numbers: Collection[int], progress: Callable[[int], None]
) -> Held:
    """For each of these files the frames whose part of it is on the disk. `progress` gets bytes."""
    wanted = frozenset(numbers)
    parts: defaultdict[int, list[tuple[int, Member]]] = defaultdict(list)
    for number, frame in enumerate(index.frames):
        for member in frame.members:
            if member.entry in wanted:
                parts[member.entry].append((number, member))
    with contextlib.closing(Passages(root)) as passages:
        return {
            number: _held(passages, index.entries[number], parts[number], progress)
            for number in numbers
        }


def _walk(passages: Passages, enter: Callable[[bytes], bool]) -> Iterator[tuple[bytes, Seen]]:
    pending = [ROOT]
    while pending:
        path = pending.pop()
        with _reading(path):
            seen = _look(passages, path)
            yield path, seen
            if seen.entry is not None and seen.entry.kind == "d" and enter(path):
                pending += _children(passages, path)


def _look(passages: Passages, path: bytes) -> Seen:
    parent, name = passages.place(path)
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    inode = status.st_dev, status.st_ino
    kind = kind_of(status)
    if kind is None:
        return Seen(None, inode, status.st_nlink)
    target = os.readlink(name, dir_fd=parent) if kind == "l" else b""
    entry = entry_of(path, kind, status, target=target, xattrs=_xattrs(parent, name))
    return Seen(entry, inode, status.st_nlink)


def _xattrs(parent: int, name: bytes) -> tuple[tuple[bytes, bytes], ...]:
    # There is no listxattrat: the magic link leads to the directory that is open.
    path = b"/proc/self/fd/%d/%s" % (parent, name)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()  # the filesystem has none
    return tuple(
        (os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)) for name in names
    )


def _children(passages: Passages, path: bytes) -> list[bytes]:
    parent, name = passages.place(path)
    with opened(name, _DIRECTORY, parent) as directory:
        names = [os.fsencode(child) for child in os.listdir(directory)]
    return names if path == ROOT else [path + b"/" + child for child in names]


def _held(
    passages: Passages,
    entry: Entry,
    parts: Iterable[tuple[int, Member]],
    progress: Callable[[int], None],
) -> frozenset[int]:
    same: set[int] = set()
    other: set[int] = set()
    with _reading(entry.path):
        parent, name = passages.place(entry.path)
        with opened(name, _FILE, parent) as file:
            end = 0
            for frame, member in parts:
                found = digest(_parts(file, member, progress))
                (same if found == member.digest else other).add(frame)
                for segment in member.segments:
                    if not _is_hole(file, end, segment.file_offset):
                        other.add(frame)
                    end = segment.file_offset + segment.length
            if not _is_hole(file, end, entry.size):
                other.add(max(same | other))
    return frozenset(same - other)


def _parts(file: int, member: Member, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The member's data as they are on the disk; fewer where the file ends early."""
    for segment in member.segments:
        offset, end = segment.file_offset, segment.file_offset + segment.length
        while offset < end and (chunk := os.pread(file, min(MiB, end - offset), offset)):
            yield chunk
            offset += len(chunk)
        progress(segment.length)


def _is_hole(file: int, begin: int, end: int) -> bool:
    """Whether there are only zeros; true for what lies behind the end of the file."""
    while begin < end:
        try:
            begin = os.lseek(file, begin, os.SEEK_DATA)
        except OSError:
            return True  # ENXIO: no data up to the end
        chunk = os.pread(file, min(MiB, end - begin), begin) if begin < end else b""
        if any(chunk):
            return False
        if not chunk:
            return True
        begin += len(chunk)
    return True


@contextlib.contextmanager
def _reading(path: bytes) -> Iterator[None]:
    """What has gone since it was listed is no error."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StepFailed(
            f"cannot read {shown(path)}: {error.strerror}",
            hint="if the disk does not give back what is on it, replace it; see the kernel log",
        ) from error
