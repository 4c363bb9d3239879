# SPDX-License-Identifier: GPL-2.0-or-later
"""rsync's words: how it is told what to copy, and what it says of it."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap_server.images.source import CaptureFailed

# Files went while they were read; of a running machine that is normal.
VANISHED = 24
# Nothing came for so long. Both sides watch it, while they have work in common.
SILENCE_SECONDS = 300
_GLOB = re.compile(rb"([\\*?\[])")
_PROGRESS = re.compile(rb"\s*(\d+)\s+(\d+)%")
# What a --out-format of %i begins with for data and names; times of directories are left aside.
_CHANGE = re.compile(rb"(?:[<>c][fLDS]\S{9}|\*deleting  ) +(.*)", re.DOTALL)
_LOST = frozenset({10, 12, 30, 35, 255})


def command(
    *,
    ssh: Sequence[str],
    elevate: str,
    host: str,
    place: bytes,
    target: Path,
    partial: Path,
    filters: Iterable[str | bytes],
) -> list[str | bytes]:
    """Make `target` what the directory `place` of `host` is, in one filesystem.

    Every attribute is kept, and what is not there any more is removed, but for what a filter
    protects. A file that was interrupted is kept in `partial`, where the next run finds it.
    """
    spec = f"[{host}]" if ":" in host else host
    return [
        "rsync",
        "--archive",
        "--hard-links",
        "--acls",
        "--xattrs",
        "--sparse",
        "--numeric-ids",
        "--one-file-system",
        "--delete",
        # Else two states of a file within one second are the same.
        "--modify-window=-1",
        f"--partial-dir={partial}",
        "--secluded-args",
        # The share that is done is known only when all names are.
        "--no-inc-recursive",
        "--info=progress2",
        "--no-human-readable",
        "--out-format=%i %n",
        f"--timeout={SILENCE_SECONDS}",
        f"--rsh={' '.join(map(_word, ssh))}",
        f"--rsync-path={f'{elevate} rsync'.strip()}",
        *(b"--filter=" + os.fsencode(rule) for rule in filters),
        os.fsencode(spec) + b":" + escaped(place.rstrip(b"/")) + b"/",
        os.fsencode(target) + b"/",
    ]


def escaped(path: bytes) -> bytes:
    """`path` as a pattern that matches nothing else."""
    return _GLOB.sub(rb"\\\1", path)


def progress(line: bytes) -> tuple[int, int] | None:
    """Bytes so far and percent, when a line is about that."""
    match = _PROGRESS.match(line)
    return (int(match[1]), int(match[2])) if match else None


def change(line: bytes) -> bytes | None:
    """The path of a file that was not the same, when a line is about one."""
    match = _CHANGE.fullmatch(line)
    return match[1] if match else None


def failure(status: int, stderr: str, host: str) -> SwarmstrapError:
    said = [line for line in stderr.splitlines() if line.startswith("rsync") or "[" not in line]
    message = f"cannot copy from {host}: {said[0] if said else f'rsync ended with {status}'}"
    if status in _LOST:
        return Unreachable(message, hint="the same command goes on where this one stopped")
    if "No space left" in stderr:
        return CaptureFailed(message, hint="make room below the site; what has come is kept")
    return CaptureFailed(message, hint="what has come is kept; the same command goes on from there")


def _word(word: str) -> str:
    """As rsync splits a --rsh: in quotes, of which a double one stands for itself."""
    return "'" + word.replace("'", "''") + "'"
