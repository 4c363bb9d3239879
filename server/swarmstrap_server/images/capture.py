# SPDX-License-Identifier: GPL-2.0-or-later
"""Walks a directory tree in a fixed order, and says everything about each entry of it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.index import MAX_TIME, MIN_TIME, ROOT, Entry, Kind, shown
from swarmstrap.mountinfo import contains, parse_mounts
from swarmstrap_server.images.strip import Strip
from swarmstrap_server.images.tarstream import Extents

_PSEUDO = frozenset(
    {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs"}
    | {"efivarfs", "mqueue", "hugetlbfs", "bpf", "pstore", "configfs", "fusectl", "binfmt_misc"}
)
_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
}
_NAMESPACES = ("user.", "trusted.", "security.")
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
# Signed for one inode of one filesystem.
_BOUND = frozenset({"security.evm"})
# A sparse map is part of a tar header, and a header must fit into a frame.
_MAX_EXTENTS = 16384


class CaptureFailed(SwarmstrapError):
    """The source cannot be read as it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, and where its data are in the source; holes are left out."""

    entry: Entry
    extents: Extents = ()


class Walk:
    """Iterate once: parents first, names in byte order, the root `.` before all.

    Hard links are kept within the tree: the first path is the file. Sockets are left out, since
    a program makes its own when it starts. What is mounted below the source is left out, and the
    mount points stay as empty directories. `warnings` is complete after the iteration.
    """

    def __init__(self, source: Path, strip: Strip) -> None:
        self.source = os.fsencode(source.resolve())
        self.strip = strip
        self.warnings: list[str] = []
        self._first: dict[tuple[int, int], bytes] = {}
        if not os.path.isdir(self.source):
            raise BadInput(f"{source} is no directory", hint="name the root of a system to capture")
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_bytes())
        self._mount_points = {mount.point for mount in mounts}
        below = [mount for mount in mounts if contains(mount.point, self.source)]
        if below and sorted(below, key=lambda mount: len(mount.point))[-1].filesystem in _PSEUDO:
            raise BadInput(
                f"{source} is a filesystem of the kernel's", hint="capture a system's root"
            )

    def __iter__(self) -> Iterator[Found]:
        pending = [ROOT]
        while pending:
            path = pending.pop()
            found = self._look(path)
            if found is None:
                continue
            yield found
            if found.entry.kind == "d" and not self._is_mount(path):
                pending.extend(reversed(self._children(path)))

    def location(self, path: bytes) -> bytes:
        return self.source if path == ROOT else self.source + b"/" + path

    def reaches(self, place: Path) -> bool:
        """Whether `place` is in the tree, and not below something that is mounted there."""
        wanted = os.fsencode(place.resolve())
        mounts = (point for point in self._mount_points if point != self.source)
        return contains(self.source, wanted) and not any(
            contains(self.source, point) and contains(point, wanted) for point in mounts
        )

    def _is_mount(self, path: bytes) -> bool:
        return path != ROOT and self.location(path) in self._mount_points

    def _children(self, path: bytes) -> list[bytes]:
        names = sorted(os.listdir(self.location(path)))
        return names if path == ROOT else [path + b"/" + name for name in names]

    def _look(self, path: bytes) -> Found | None:
        location = self.location(path)
        status = os.lstat(location)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            self.warnings.append(f"left out the socket {shown(path)}")
            return None
        action = self.strip.action(path, kind)
        if action == "remove":
            return None
        if self._is_mount(path):
            return self._mount_point(path, kind, status)
        if status.st_nlink > 1 and kind != "d" and action == "keep":
            first = self._first.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                return Found(_entry(path, "h", status, target=first))
        target = os.readlink(location) if kind == "l" else b""
        size = status.st_size if kind == "f" and action == "keep" else 0
        entry = _entry(path, kind, status, size=size, target=target, xattrs=_xattrs(location))
        return Found(entry, _extents(location, status) if size else ())

    def _mount_point(self, path: bytes, kind: Kind, status: os.stat_result) -> Found | None:
        if kind != "d":
            self.warnings.append(f"left out {shown(path)}: something is mounted over it")
            return None
        self.warnings.append(f"left out what is mounted at {shown(path)}")
        # The directory below the mount is hidden. The time of the mounted one changes by itself.
        mode = stat.S_IMODE(status.st_mode)
        return Found(Entry(path, "d", mode, status.st_uid, status.st_gid, 0))


def _entry(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    size: int = 0,
    target: bytes = b"",
    xattrs: tuple[tuple[bytes, bytes], ...] = (),
) -> Entry:
    if not MIN_TIME <= status.st_mtime_ns <= MAX_TIME:
        raise CaptureFailed(
            f"{shown(path)} was modified outside the years 1677 to 2554", hint="touch it"
        )
    device = (0, 0)
    if kind in "cb":
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=size,
        target=target,
        device=device,
        xattrs=xattrs,
    )


def _xattrs(location: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = os.listxattr(location, follow_symlinks=False)
    except OSError:
        return ()  # the filesystem has none
    return tuple(
        (os.fsencode(name), os.getxattr(location, name, follow_symlinks=False))
        for name in sorted(names)
        if (name.startswith(_NAMESPACES) or name in _ACLS) and name not in _BOUND
    )


def _extents(location: bytes, status: os.stat_result) -> Extents:
    size = status.st_size
    if status.st_blocks * 512 >= size:
        return ((0, size),)
    extents = []
    file = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        end = 0
        while end < size:
            try:
                begin = os.lseek(file, end, os.SEEK_DATA)
            except OSError:
                break  # ENXIO: a hole up to the end
            end = os.lseek(file, begin, os.SEEK_HOLE)
            extents.append((begin, min(end, size) - begin))
    finally:
        os.close(file)
    return coarser(tuple(extents), _MAX_EXTENTS)


def coarser(extents: Extents, limit: int) -> Extents:
    """The same data in at most `limit` extents: the smallest holes become zeros."""
    gap = 4096
    while len(extents) > limit:
        gap *= 2
        merged = [extents[0]]
        for begin, length in extents[1:]:
            last_begin, last_length = merged[-1]
            if begin - (last_begin + last_length) < gap:
                merged[-1] = (last_begin, begin + length - last_begin)
            else:
                merged.append((begin, length))
        extents = tuple(merged)
    return extents
