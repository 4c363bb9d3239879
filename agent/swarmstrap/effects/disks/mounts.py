# SPDX-License-Identifier: GPL-2.0-or-later
"""What is mounted below a directory, and whether what was written there is on the disks."""

import os
from pathlib import Path

from swarmstrap.effects import libc
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

    One syncfs(2) for each filesystem: it tells of errors that nobody has heard of yet, too.
    """
    synced = set()
    for point in [os.fspath(root), *mount_points(root)]:
        try:
            descriptor = os.open(point, os.O_RDONLY | os.O_CLOEXEC)
            try:
                device = os.fstat(descriptor).st_dev
                if device not in synced:
                    libc.syncfs(descriptor)
                    synced.add(device)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StepFailed(
                f"cannot sync {shown(os.fsencode(point))}{_on(point)}: {error.strerror}",
                hint="the disk lost what was written to it: see the kernel log, replace it",
            ) from error


def _on(point: str) -> str:
    """The device node that is mounted there, where the filesystem has a single one."""
    number = os.stat(point).st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return f" on /dev/{device.resolve().name}" if device.exists() else ""
