# SPDX-License-Identifier: GPL-2.0-or-later
"""A directory of this machine: a chroot, a mounted filesystem, the running system itself."""

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.extents import Extents
from swarmstrap.index import ROOT, Entry, Kind
from swarmstrap.mountinfo import PSEUDO, Mount, contains, parse_mounts
from swarmstrap.status import entry_of, kind_of
from swarmstrap_server.images.attributes import belongs
from swarmstrap_server.images.source import Found
from swarmstrap_server.images.sources import holes


class OpenFile:
    """The data of a file, which is another one when its time or its size is not as expected."""

    def __init__(self, descriptor: int, entry: Entry) -> None:
        self._descriptor = descriptor
        self._expected = entry.mtime, entry.size

    @cached_property
    def extents(self) -> Extents:
        return holes.extents(self._descriptor, os.fstat(self._descriptor))

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def changed(self) -> bool:
        status = os.fstat(self._descriptor)
        return (status.st_mtime_ns, status.st_size) != self._expected


class Directory:
    """What is mounted below `root` is left out, and the mount points stay as empty directories;
    but for the mount points in `crossing`, which are parts of the same system.

    Sockets are left out, since a program makes its own when it starts.
    """

    def __init__(self, root: Path, crossing: Collection[Path] = ()) -> None:
        self.name = str(root)
        self.warnings: list[str] = []
        self._root = os.fsencode(root.resolve())
        if not os.path.isdir(self._root):
            raise BadInput(f"{root} is no directory", hint="name the root of a system to capture")
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_bytes())
        self._mounts = {mount.point: mount for mount in mounts if mount.point != self._root}
        around = [mount for mount in mounts if contains(mount.point, self._root)]
        if around:
            _check_real(max(around, key=lambda mount: len(mount.point)), root)
        for point in crossing:
            mount = self._mounts.get(os.fsencode(point.resolve()))
            if mount is None or not contains(self._root, mount.point):
                raise BadInput(
                    f"nothing is mounted at {point}, below {root}", hint="name a mount point"
                )
            _check_real(mount, point)
            del self._mounts[mount.point]

    def look(self, path: bytes) -> Found | None:
        location = self._location(path)
        try:
            status = os.lstat(location)
            kind = kind_of(status)
            if kind is None:
                return Found(None, left_out="a socket: a program makes its own when it starts")
            mount = self._mounts.get(location)
            if mount is not None:
                return _mount_point(path, kind, status, mount)
            target = os.readlink(location) if kind == "l" else b""
            xattrs = _xattrs(location)
        except (FileNotFoundError, NotADirectoryError):
            return None
        identity = None
        if kind != "d" and status.st_nlink > 1:
            identity = status.st_dev, status.st_ino
        entry = entry_of(path, kind, status, target=target, xattrs=xattrs)
        return Found(entry, identity, stored=min(entry.size, status.st_blocks * 512))

    def names(self, path: bytes) -> list[bytes]:
        location = self._location(path)
        if location in self._mounts:
            return []
        try:
            return os.listdir(location)
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextmanager
    def open(self, entry: Entry) -> Iterator[OpenFile]:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._location(entry.path), flags)
        try:
            yield OpenFile(descriptor, entry)
        finally:
            os.close(descriptor)

    def reaches(self, place: Path) -> bool:
        wanted = os.fsencode(place.resolve())
        return contains(self._root, wanted) and not any(
            contains(self._root, point) and contains(point, wanted) for point in self._mounts
        )

    def _location(self, path: bytes) -> bytes:
        return self._root if path == ROOT else os.path.join(self._root, path)


def _check_real(mount: Mount, place: Path) -> None:
    if mount.filesystem in PSEUDO:
        raise BadInput(
            f"{place} is a filesystem of the kernel's ({mount.filesystem}), which keeps no files",
            hint="capture a system's root, and what is on its disks",
        )


def _mount_point(path: bytes, kind: Kind, status: os.stat_result, mount: Mount) -> Found:
    reason = f"what is mounted there ({mount.filesystem})"
    if mount.filesystem in PSEUDO:
        reason += ", the kernel's own"
    if kind != "d":
        return Found(None, left_out=f"{reason}, and what is below")
    # The directory below the mount is hidden. The time of the mounted one changes by itself.
    mode = stat.S_IMODE(status.st_mode)
    return Found(Entry(path, "d", mode, status.st_uid, status.st_gid, 0), left_out=reason)


def _xattrs(location: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = os.listxattr(location, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()  # the filesystem has none
        raise
    return tuple(
        (name, os.getxattr(location, name, follow_symlinks=False))
        for name in sorted(os.fsencode(name) for name in names)
        if belongs(name)
    )
