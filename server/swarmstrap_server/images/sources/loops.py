# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of a file as a block device that nobody can write to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.run import run

_SECONDS = 30.0


@contextmanager
def attached(path: Path, *, start: int = 0, size: int = 0, sector: int = 512) -> Iterator[Path]:
    """`size` bytes from `start` on, to the end when it is 0, in sectors of `sector` bytes."""
    command = ["losetup", "--find", "--show", "--read-only", f"--sector-size={sector}"]
    command += [f"--offset={start}", *([f"--sizelimit={size}"] if size else []), str(path)]
    try:
        node = run(command, timeout=_SECONDS).stdout.strip()
    except CommandFailed as error:
        raise CaptureFailed(
            f"{path} cannot be looked into: {error.message}",
            hint="run as root, on a machine with loop devices",
        ) from error
    try:
        yield Path(node)
    finally:
        run(["losetup", "--detach", node], timeout=_SECONDS)
