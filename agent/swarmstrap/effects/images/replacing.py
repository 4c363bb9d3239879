# SPDX-License-Identifier: GPL-2.0-or-later
"""A target that is in use: everything new is made under a temporary name beside its place, and
takes that place, whole, by a rename. Of what is there only metadata are ever changed.
"""

import contextlib
import errno
import os
from collections.abc import Iterable

from msgspec.structs import replace

from swarmstrap.comparing import strange_xattrs, temporary
from swarmstrap.effects.images.entries import Target, naming, opened
from swarmstrap.index import Entry, Segment

# Programs that run cannot be opened for writing; a FIFO that came meanwhile must not block.
_OLD_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Replacing(Target):
    """What `Target` can, over what is there. A directory must not be in the way of anything else,
    nor the reverse: `remove` it before.
    """

    def make(self, entry: Entry) -> None:
        super().make(_beside(entry))
        if entry.kind == "d":
            super().seal(_beside(entry))
        self._take_place(entry)

    def reserve(self, entry: Entry, data: tuple[tuple[int, int], ...]) -> None:
        super().reserve(_beside(entry), data)

    def write(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        super().write(_beside(entry), segments, data)
        self._take_place(entry)

    def write_part(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None:
        super().write_part(_beside(entry), segments, data)

    def take_over(self, entry: Entry, segments: Iterable[Segment]) -> None:
        """Some of the data of a file that `reserve` made, from the one that it will replace."""
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            new = temporary(name)
            with opened(name, _OLD_FILE, parent) as old, opened(new, _NEW_FILE, parent) as file:
                for segment in segments:
                    done = 0
                    while done < segment.length:
                        place = segment.file_offset + done
                        left = segment.length - done
                        done += os.copy_file_range(old, file, left, place, place)

    def seal(self, entry: Entry) -> None:
        if entry.kind == "d":
            super().seal(entry)
        else:
            super().seal(_beside(entry))
            self._take_place(entry)

    def describe(self, entry: Entry) -> None:
        """The metadata of a file or directory that stays."""
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            with opened(name, _OLD_FILE, parent) as file:
                self._describe(file, entry, whole_mode=True)

    def remove(self, path: bytes) -> None:
        """A directory only when it is empty: what came into it meanwhile is not ours."""
        with naming(path), contextlib.suppress(FileNotFoundError):
            parent, name = self._passages.place(path)
            try:
                os.unlink(name, dir_fd=parent)
            except IsADirectoryError:
                _remove_empty(parent, name)

    def close(self) -> None:
        self._passages.close()

    def _take_place(self, entry: Entry) -> None:
        with naming(entry.path):
            parent, name = self._passages.place(entry.path)
            os.replace(temporary(name), name, src_dir_fd=parent, dst_dir_fd=parent)
            if entry.kind == "h":
                # rename(2) does nothing when both are names of one file.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary(name), dir_fd=parent)

    def _describe(
        self, file: int, entry: Entry, *, whole_mode: bool = False, owned: bool = False
    ) -> None:
        # A directory that has a default ACL gave it to what was made in it; others use the tree,
        # and may change a directory's group at any time.
        found = [os.fsencode(name) for name in os.listxattr(file)]
        for name in strange_xattrs(found, entry):
            os.removexattr(file, name)
        super()._describe(file, entry, whole_mode=True)


def _beside(entry: Entry) -> Entry:
    return replace(entry, path=temporary(entry.path))


def _remove_empty(parent: int, name: bytes) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
