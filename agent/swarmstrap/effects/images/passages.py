# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories of a tree, opened as they are needed; no symbolic link is ever followed."""

import os
from collections import OrderedDict
from pathlib import Path

# O_PATH is enough to be a dir_fd and needs no permission on the directory.
_PASSAGE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Far below the 1,024 descriptors of a process; siblings in a sorted tree seldom need more.
_OPEN_DIRECTORIES = 128


class Passages:
    """Paths are an index's: bytes, relative to the root, which is open as long as this lives."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _PASSAGE)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._group = os.getegid()
        self._strange: set[int] = set()
        self._note_group(self._root)

    def place(self, path: bytes) -> tuple[int, bytes]:
        """The open parent directory of `path`, and its name there."""
        parent, _, name = path.rpartition(b"/")
        return self.directory(parent), name

    def directory(self, path: bytes) -> int:
        """The directory `path`, open; without recursion: a tree may be as deep as it likes."""
        closed = []
        while path and path not in self._open:
            closed.append(path)
            path = path.rpartition(b"/")[0]
        if path:
            self._open.move_to_end(path)
        descriptor = self._open[path] if path else self._root
        for directory in reversed(closed):
            name = directory.rpartition(b"/")[2]
            descriptor = self._open[directory] = os.open(name, _PASSAGE, dir_fd=descriptor)
            self._note_group(descriptor)
            if len(self._open) > _OPEN_DIRECTORIES:
                self._forget(self._open.popitem(last=False)[1])
        return descriptor

    def gives_our_group(self, directory: int) -> bool:
        """Whether what this process makes in an open directory gets the process' group: for sure
        where the directory has it too, for a set-group-ID bit or a mount option may hand it down.
        """
        return directory not in self._strange

    def close(self) -> None:
        for descriptor in (*self._open.values(), self._root):
            os.close(descriptor)
        self._open.clear()

    def _note_group(self, directory: int) -> None:
        if os.fstat(directory).st_gid != self._group:
            self._strange.add(directory)

    def _forget(self, directory: int) -> None:
        os.close(directory)
        self._strange.discard(directory)
