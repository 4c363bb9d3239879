# SPDX-License-Identifier: GPL-2.0-or-later
"""A file with a secret in it: a password, a token, a key that is shared with somebody else."""

import stat
from pathlib import Path

from swarmstrap.errors import BadInput

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def complaint(path: Path, shown: str) -> str:
    """Why the secret in `path`, which people know as `shown`, is none; empty when it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"{shown} cannot be read: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{shown} is not a file"
    if mode & _OTHERS:
        return f"{shown} has mode {stat.S_IMODE(mode):o}, so others may read it (chmod 600 {shown})"
    return ""


def read_bytes(path: Path) -> bytes:
    """As it is; raises BadInput for a file that others may read, too."""
    if wrong := complaint(path, str(path)):
        raise BadInput(wrong)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def read(path: Path) -> str:
    """Text without the end of its line; raises BadInput as `read_bytes` does."""
    try:
        return read_bytes(path).decode().replace("\r\n", "\n").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not text: {error.reason}") from error
