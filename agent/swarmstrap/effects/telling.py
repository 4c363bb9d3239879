# SPDX-License-Identifier: GPL-2.0-or-later
"""What work in a thread has to say, said in the event loop that its reporter lives in."""

import asyncio
from collections.abc import Callable

from swarmstrap.reporter import Reporter

_PROGRESS_STEPS = 50


def lines_from_thread(report: Reporter) -> Callable[[str], None]:
    loop = asyncio.get_running_loop()

    def tell(line: str) -> None:
        loop.call_soon_threadsafe(report.log, line)

    return tell


def progress_from_thread(report: Reporter, total: int) -> Callable[[int], None]:
    """To be called with each further number of bytes done of `total`."""
    loop = asyncio.get_running_loop()
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if before * _PROGRESS_STEPS // total != done * _PROGRESS_STEPS // total:
            loop.call_soon_threadsafe(report.progress, done / total)

    return progress
