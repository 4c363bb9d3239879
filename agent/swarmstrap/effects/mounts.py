# SPDX-License-Identifier: GPL-2.0-or-later
"""What is mounted below a directory, and whether what was written there is on the disks."""

import ctypes
import os
from pathlib import Path

from swarmstrap.errors import StepFailed
from swarmstrap.index import shown
from swarmstrap.mountinfo import Mount, contains, parse_mounts


def read_mounts() -> list[Mount]:
    return parse_mounts(Path("/proc/self/mountinfo").read_bytes())


def mount_points(root: Path) -> list[str]:
    """What is mounted at `root` and below, in the order in which it was mounted."""
    top = os.path.realpath(os.fsencode(root))
    return [os.fsdecode(mount.point) for mount in read_mounts() if contains(top, mount.point)]


def sync(root: Path) -> None:
    """Everything written below `root` is on its disks; raises StepFailed naming where it is not.

    Only syncfs(2) tells of errors, of one filesystem, and of those that nobody has heard of yet.
    """
    os.sync()  # all disks at once
    for point in dict.fromkeys([os.fspath(root), *mount_points(root)]):
        _sync_filesystem(point)


def _sync_filesystem(point: str) -> None:
    descriptor = os.open(point, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            reason = os.strerror(ctypes.get_errno())
            raise StepFailed(
                f"cannot sync {shown(os.fsencode(point))}: {reason}",
                hint="the disk lost what was written to it: see the kernel log, replace it",
            )
    finally:
        os.close(descriptor)
