# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk for oneself while it is written."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator

from swarmstrap.errors import StepFailed

BLKRRPART = 0x125F  # _IO(0x12, 95), linux/fs.h
BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.1


@contextlib.contextmanager
def claimed(node: str) -> Iterator[int]:
    """A descriptor of `node` while nobody else can mount it or build on it, and udev keeps away.

    The kernel refuses the claim (O_EXCL) while any partition is mounted or held; udev leaves a
    disk alone on which somebody holds a lock (systemd.io/BLOCK_DEVICE_LOCKING).
    """
    try:
        disk = os.open(node, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        why = "it is in use" if error.errno == errno.EBUSY else error.strerror
        raise StepFailed(
            f"cannot take {node} for writing: {why}", hint="see lsblk and /proc/mounts"
        ) from error
    try:
        _until_free(f"lock {node}", lambda: fcntl.flock(disk, fcntl.LOCK_EX | fcntl.LOCK_NB))
        yield disk
    finally:
        os.close(disk)


def read_table_again(disk: int, node: str) -> None:
    """Make the kernel read the table again; an image file has nobody to tell."""
    if stat.S_ISBLK(os.fstat(disk).st_mode):
        _until_free(f"make the kernel read {node} again", lambda: fcntl.ioctl(disk, BLKRRPART))


def _until_free(what: str, attempt: Callable[[], object]) -> None:
    """Try until nobody is in the way; a probe of udev's that is under way ends by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            attempt()
            return
        except OSError as error:
            busy = error.errno in (errno.EBUSY, errno.EAGAIN)
            if not busy or time.monotonic() > deadline:
                why = f"in use for {BUSY_SECONDS:.0f} s" if busy else error.strerror
                raise StepFailed(f"cannot {what}: {why}", hint="see lsblk and dmesg") from error
        time.sleep(_RETRY_SECONDS)
