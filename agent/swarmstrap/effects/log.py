# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of one boot: everything, tracebacks too, in a file that stays while the node runs."""

import logging
import os
from collections import deque
from pathlib import Path

LOG = Path("/run/swarmstrap/log")
_KERNEL = "/dev/kmsg"
_KERNEL_LINES = 300
# The longest record that the kernel hands out, CONSOLE_EXT_LOG_MAX.
_RECORD_BYTES = 8192


def start(path: Path = LOG) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path,
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        encoding="utf-8",
        errors="backslashreplace",
        force=True,
    )


def read(path: Path = LOG) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tail(lines: int, path: Path = LOG) -> str:
    return "\n".join(read(path).splitlines()[-lines:])


def kernel(lines: int = _KERNEL_LINES, path: str = _KERNEL) -> str:
    """The kernel's last lines, each after its seconds since boot; nothing where there are none."""
    found: deque[str] = deque(maxlen=lines)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        while record := _record(fd):
            found.append(_line(record))
    except BlockingIOError:
        pass  # that was the last so far
    finally:
        os.close(fd)
    return "\n".join(found)


def _record(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _RECORD_BYTES)
        except BrokenPipeError:
            continue  # the kernel has overwritten what came next: the oldest that is left


def _line(record: bytes) -> str:
    """`6,339,5140900,-;text` and then lines that begin with a blank: what it is about."""
    head, _, text = record.decode(errors="backslashreplace").partition(";")
    microseconds = head.split(",")[2]
    return f"[{int(microseconds) / 1e6:12.6f}] {text.splitlines()[0] if text else ''}"
