# SPDX-License-Identifier: GPL-2.0-or-later
"""The record that a deployment leaves in its system, and the mark of an update under way."""

from pathlib import Path

from swarmstrap.deployed import RECORD, UPDATING, Deployed, read_record
from swarmstrap.effects.system.chroot import inside, remove_files, write_file
from swarmstrap.steps.system import RemoveFiles, WriteFile


def read(root: Path) -> Deployed:
    """Raises Refused when there is none, or one that cannot be read."""
    try:
        return read_record(inside(root, RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return read_record(None)


def interrupted(root: Path) -> bool:
    """Whether an update was begun and not ended."""
    return inside(root, UPDATING).exists()


def begin(root: Path, title: str) -> None:
    write_file(WriteFile(UPDATING, f"{title}\n", 0o644), root)


def end(root: Path) -> None:
    remove_files(RemoveFiles((UPDATING,), "the update is complete"), root)
