# SPDX-License-Identifier: GPL-2.0-or-later
"""What an image is made of: a tree that can be looked at, wherever it is kept.

A directory, a tar, the layers of a container and a disk each are a `Source`. The order in which
entries are taken, what is stripped and what becomes a hard link is decided once, in `Walk`: so the
same tree gives the same image, whatever it came from.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarmstrap.errors import SwarmstrapError
from swarmstrap.extents import Extents
from swarmstrap.index import Entry

# What is being done, how many bytes of it are done, and of how many when that is known.
Report = Callable[[str, int, int | None], None]


class CaptureFailed(SwarmstrapError):
    """The source cannot be read as it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path. `entry` is None for what no image can hold.

    Two paths with the same `identity` are names of one file; None is a file with one name.
    `stored` is about the bytes of data, without holes. `left_out` says what of it is not captured,
    and why; empty when all is.
    """

    entry: Entry | None
    identity: Hashable = None
    stored: int = 0
    left_out: str = ""


class Data(Protocol):
    """The data of a file while it is open; `extents` are its parts that are not holes."""

    @property
    def extents(self) -> Extents: ...

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset` of the file on; none is the end of the file."""
        ...

    def changed(self) -> bool:
        """Whether the file is another one than when it was looked at."""
        ...


class Source(Protocol):
    """Paths are as in an index: bytes, relative to the root, and the root itself is `.`."""

    @property
    def name(self) -> str:
        """As the user knows it."""
        ...

    @property
    def warnings(self) -> list[str]:
        """One line for each thing that was not as it should be; more may come while reading."""
        ...

    def look(self, path: bytes) -> Found | None:
        """None when there is nothing. Links are not followed."""
        ...

    def names(self, path: bytes) -> list[bytes]:
        """Of what is in the directory `path`, in any order; none when it has gone."""
        ...

    def open(self, entry: Entry) -> AbstractContextManager[Data]:
        """The data of a regular file that was looked at. Raises FileNotFoundError when it has gone,
        NotADirectoryError when what it was in is a file by now.
        """
        ...

    def reaches(self, place: Path) -> bool:
        """Whether a capture would read `place`, a path of this machine."""
        ...


def joined(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory`."""
    return name if directory == b"." else directory + b"/" + name
