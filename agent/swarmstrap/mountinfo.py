# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/mountinfo as values; the format is that of proc_pid_mountinfo(5)."""

import re
from dataclasses import dataclass

# Filesystems that show what the kernel knows, and keep no files.
PSEUDO = frozenset(
    {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs"}
    | {"efivarfs", "mqueue", "hugetlbfs", "bpf", "pstore", "configfs", "fusectl", "binfmt_misc"}
    | {"autofs", "rpc_pipefs", "selinuxfs", "nsfs"}
)
_OCTAL = re.compile(rb"\\([0-7]{3})")  # blanks, tabs, newlines and backslashes of a path


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount; `device` is (major, minor), as in st_dev of what is in it.

    `root` is the directory of the filesystem that is seen at `point`, and `options` are those of
    the filesystem, not of this mount of it; `source` is mostly a device node.
    """

    point: bytes
    device: tuple[int, int]
    filesystem: str
    root: bytes = b"/"
    options: bytes = b""
    source: bytes = b""


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    """In the order in which they were mounted."""
    mounts = []
    for line in mountinfo.splitlines():
        mounted, _, superblock = line.partition(b" - ")
        _, _, device, root, point, *_ = mounted.split(b" ")
        filesystem, source, *options = superblock.split(b" ")
        major, _, minor = device.partition(b":")
        mounts.append(
            Mount(
                point=_plain(point),
                device=(int(major), int(minor)),
                filesystem=filesystem.decode(),
                root=_plain(root),
                options=_plain(b" ".join(options)),
                source=_plain(source),
            )
        )
    return mounts


def contains(directory: bytes, path: bytes) -> bool:
    """Whether `path` is `directory` or below it; both absolute."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def _plain(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)
