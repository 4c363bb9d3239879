# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that Python does not have, by way of the C library; their errors are OSErrors."""

import ctypes
import os
from functools import cache

# linux/fs.h
_SYNC_FILE_RANGE_WRITE = 2


def syncfs(file: int) -> None:
    """All of the filesystem that `file` lies on is on its disk; an error may be an older one."""
    _checked(_libc().syncfs(file))


def begin_writeback(file: int, offset: int, length: int) -> None:
    """What is dirty in memory of this range goes on its way to the disk; not waited for."""
    place = (ctypes.c_int64(offset), ctypes.c_int64(length))
    _checked(_libc().sync_file_range(file, *place, _SYNC_FILE_RANGE_WRITE))


def fallocate(file: int, mode: int, offset: int, length: int) -> None:
    """Not posix_fallocate(3), which writes zeros where the filesystem cannot."""
    _checked(_libc().fallocate(file, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
