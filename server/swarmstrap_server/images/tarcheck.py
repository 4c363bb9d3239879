# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever stops using Swarmstrap keeps everything: other programs read the payload as we do."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.errors import Untrusted
from swarmstrap.index import Entry, shown
from swarmstrap.units import MiB
from swarmstrap_server.run import run

# Slower than any disk that images are kept on.
_SLOWEST = 4 * MiB
_START_SECONDS = 60.0
# How both programs write what cannot be printed, in the C locale that `run` gives them.
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


@dataclass(frozen=True, slots=True)
class Reader:
    """A program that lists an archive: `options` come before its name; `helper` is called by it."""

    name: str
    package: str
    program: str
    options: tuple[str, ...]
    helper: str = ""

    @property
    def missing(self) -> str:
        """What is not installed of it, or nothing."""
        if shutil.which(self.program) is None:
            return f"{self.name} is not installed (Debian package {self.package})"
        if self.helper and shutil.which(self.helper) is None:
            return f"{self.helper} is not installed"
        return ""


READERS = (
    Reader("GNU tar", "tar", "tar", ("--zstd", "--quoting-style=escape", "-tf"), "zstd"),
    Reader("bsdtar", "libarchive-tools", "bsdtar", ("-tf",)),
)


def check_names(reader: Reader, payload: Path, entries: Sequence[Entry]) -> None:
    """Raises Untrusted unless `reader` reads the whole payload and finds `entries`, in order."""
    deadline = _START_SECONDS + payload.stat().st_size / _SLOWEST
    try:
        listed = run([reader.program, *reader.options, payload], timeout=deadline).stdout
    except CommandFailed as error:
        raise _unreadable(reader, error.message) from error
    found = map(_path, os.fsencode(listed).splitlines())
    for number, (name, entry) in enumerate(zip_longest(found, entries)):
        if entry is None or name != entry.path:
            expected = "nothing more" if entry is None else shown(entry.path)
            got = "nothing more" if name is None else shown(name)
            raise _unreadable(reader, f"entry {number} is {got}, the index says {expected}")


def _path(line: bytes) -> bytes:
    """`./` is the root; a folder ends in a slash; both escape what cannot be printed."""
    return _ESCAPE.sub(_unescape, line).rstrip(b"/")


def _unescape(found: re.Match[bytes]) -> bytes:
    what = found[1]
    return bytes([int(what, 8) if len(what) == 3 else _LETTERS.get(what[0], what[0])])


def _unreadable(reader: Reader, reason: str) -> Untrusted:
    return Untrusted(
        f"{reader.name} does not read the payload as it should: {reason}",
        hint="publish the image again; if that does not help, tell us about this",
    )
