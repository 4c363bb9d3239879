# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/mountinfo as values; the format is that of proc_pid_mountinfo(5)."""

import re
from dataclasses import dataclass

_OCTAL = re.compile(rb"\\([0-7]{3})")  # blanks, tabs, newlines and backslashes of a path


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount; `device` is (major, minor), as in st_dev of what is in it."""

    point: bytes
    device: tuple[int, int]
    filesystem: str


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    """In the order in which they were mounted."""
    mounts = []
    for line in mountinfo.splitlines():
        mounted, _, source = line.partition(b" - ")
        fields = mounted.split(b" ")
        major, _, minor = fields[2].partition(b":")
        point = _OCTAL.sub(_byte, fields[4])
        mounts.append(Mount(point, (int(major), int(minor)), source.split(b" ")[0].decode()))
    return mounts


def contains(directory: bytes, path: bytes) -> bool:
    """Whether `path` is `directory` or below it; both absolute."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])
