# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the entries of an image below one directory, relative to open directories.

Symbolic links are never followed, so nothing is made outside the target. Every error is a
StepFailed that carries the path. The process' umask must be 0.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from swarmstrap.effects import libc
from swarmstrap.effects.disks.mounts import sync
from swarmstrap.effects.images.passages import Passages
from swarmstrap.errors import StepFailed
from swarmstrap.index import ROOT, Entry, Segment, shown
from swarmstrap.units import KiB

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX

# Sent to the disk at once: it works while frames come, and less is left for the end. Files of this
# size are 1 % of a Debian's and 60 % of its data; a disk of 300 MB/s took 8.7 s instead of 10.8.
_LARGE = 256 * KiB
# Not from the first moment on: what is written within seconds waits for the processor alone, which
# has to feed a fast disk too. What takes longer waits for the network or for the disk.
_EARLY_SECONDS = 3.0

# What is written at once gets memory in one piece, of 2 MiB at most. Free pieces of that size are
# what a hypervisor takes back, to be faulted in again: of a processor, 1.2 GB in files of 8 MB took
# up to 2.0 s when written whole, and 0.27 s in parts of 1 MiB and less.
_AT_ONCE = 512 * KiB

_HINTS = {
    errno.ENOSPC: "give the partition that holds this path more room in the layout",
    errno.EIO: "the disk does not take what is written to it: see the kernel log, replace it",
    errno.EROFS: "the filesystem went read-only: see the kernel log for the disk's errors",
    errno.EEXIST: "the target must be a new filesystem",
    errno.EPERM: "the filesystem there cannot hold such an entry: mount another kind",
    errno.EOPNOTSUPP: "the filesystem there cannot hold such an attribute: use ext4 or xfs",
    errno.ELOOP: "a symbolic link of the target is in the way: use a new filesystem",
    errno.ENOTDIR: "something that is no directory is in the way: use a new filesystem",
}


class Target:
    """The directory that an image is written into, open as long as the process lives.

    `ownerless` are the device numbers (st_dev) of mounted filesystems that know no owners, modes
    and attributes, such as a vfat ESP: there these are left as the mount gives them. `allocating`
    are those where room for large files is taken before they are written.
    """

    def __init__(
        self, root: Path, ownerless: Collection[int] = (), allocating: Collection[int] = ()
    ) -> None:
        self._path = root
        self._passages = Passages(root)
        self._writeback_from = time.monotonic() + _EARLY_SECONDS
        # What a new file has by itself.
        self._owner = (os.geteuid(), os.getegid())
        self._ownerless = frozenset(ownerless)
        self._allocating = frozenset(allocating)

    def make(self, entry: Entry) -> None:
        """An entry without data, complete; a directory is private until `seal`."""
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            match entry.kind:
                case "d" if entry.path == ROOT:
                    pass
                case "d":
                    try:
                        os.mkdir(name, 0o700, dir_fd=parent)
                    except FileExistsError:
                        self._passages.directory(entry.path)  # or is it none?
                case "f":
                    self._create(entry, (), memoryview(b""))
                case "l":
                    os.symlink(entry.target, name, dir_fd=parent)
                    self._describe_name(parent, name, entry)
                case "c" | "b" | "p":
                    number = os.makedev(*entry.device)
                    os.mknod(name, _DEVICES[entry.kind] | entry.mode & 0o777, number, dir_fd=parent)
                    self._describe_name(parent, name, entry)
                case "h":
                    source, target = self._passages.place(entry.target)
                    os.link(
                        target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                    )

    def reserve(self, entry: Entry, data: tuple[tuple[int, int], ...]) -> None:
        """A file whose data come from several frames: full size, private, no metadata yet.

        `data` are offset and length of what is no hole. A filesystem that is too small says so now,
        and parts that come in any order lie side by side.
        """
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            with opened(name, _NEW_FILE, parent, 0o600) as file:
                os.ftruncate(file, entry.size)
                if os.fstat(file).st_dev in self._allocating:
                    for offset, length in data:
                        libc.fallocate(file, 0, offset, length)

    def write(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        """A whole new file with all its metadata; `data` is the frame that `segments` lie in."""
        try:
            self._create(entry, segments, data)
        except OSError as error:
            raise failed(entry.path, error) from error

    def write_part(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        """Some of the data of a file that `reserve` made."""
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            with opened(name, _OLD_FILE, parent) as file:
                _write_segments(file, segments, data, self._writeback_from)

    def seal(self, entry: Entry) -> None:
        """Final metadata of a directory or of a file that `reserve` made."""
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            flags = _DIRECTORY if entry.kind == "d" else _OLD_FILE
            with opened(name, flags, parent) as file:
                self._describe(file, entry, whole_mode=True)

    def sync(self) -> None:
        """Everything written is on its disks; raises StepFailed naming where it is not."""
        sync(self._path)

    # Nearly all entries come here, and a context manager in Python costs as much as a system call.
    def _create(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        parent, name = self._passages.place(entry.path)
        file = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=parent)
        try:
            end = segments[-1].file_offset + segments[-1].length if segments else 0
            if end < entry.size:
                os.ftruncate(file, entry.size)
            _write_segments(file, segments, data, self._writeback_from)
            owned = (entry.uid, entry.gid) == self._owner
            self._describe(file, entry, owned=owned and self._passages.gives_our_group(parent))
        finally:
            os.close(file)

    def _describe(
        self, file: int, entry: Entry, *, whole_mode: bool = False, owned: bool = False
    ) -> None:
        # Attributes after the owner: chown takes file capabilities away. Times last.
        try:
            if not owned:
                os.fchown(file, entry.uid, entry.gid)
            if whole_mode or entry.mode & _SPECIAL_BITS:
                os.fchmod(file, entry.mode)
            for name, value in entry.xattrs:
                os.setxattr(file, name, value)
        except OSError as error:
            if not self._forgives(error, os.fstat(file).st_dev):
                raise
        os.utime(file, ns=(entry.mtime, entry.mtime))

    def _describe_name(self, parent: int, name: bytes, entry: Entry) -> None:
        """For what must not be opened: links, devices, FIFOs."""
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != "l" and entry.mode & _SPECIAL_BITS:
            os.chmod(name, entry.mode, dir_fd=parent)
        for attribute, value in entry.xattrs:
            # There is no setxattrat: the magic link leads to the directory that is open.
            path = b"/proc/self/fd/%d/%s" % (parent, name)
            os.setxattr(path, attribute, value, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _forgives(self, error: OSError, device: int) -> bool:
        return error.errno in (errno.EPERM, errno.EOPNOTSUPP) and device in self._ownerless


def _write_segments(
    file: int, segments: tuple[Segment, ...], data: memoryview, writeback_from: float
) -> None:
    written = 0
    for segment in segments:
        done = 0
        while done < segment.length:
            begin = segment.frame_offset + done
            end = begin + min(segment.length - done, _AT_ONCE)
            done += os.pwrite(file, data[begin:end], segment.file_offset + done)
        written += done
    if written >= _LARGE and time.monotonic() >= writeback_from:
        begin, end = segments[0].file_offset, segments[-1].file_offset + segments[-1].length
        libc.begin_writeback(file, begin, end - begin)


@contextlib.contextmanager
def opened(name: bytes, flags: int, parent: int, mode: int = 0) -> Iterator[int]:
    descriptor = os.open(name, flags, mode, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failed(path, error) from error


def failed(path: bytes, error: OSError) -> StepFailed:
    return StepFailed(
        f"cannot write {shown(path)}: {error.strerror}", hint=_HINTS.get(error.errno or 0, "")
    )
