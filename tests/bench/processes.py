# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of a benchmark: started, listened to with a deadline, ended; and their memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

_END_SECONDS = 60.0
_SAMPLE_SECONDS = 0.1


@asynccontextmanager
async def process(
    command: Sequence[str], errors: IO[bytes] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`errors` gets what it writes to stderr, which is else this process's own."""
    running = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        await asyncio.wait_for(running.wait(), _END_SECONDS)


async def line(running: asyncio.subprocess.Process, seconds: float, what: str) -> str:
    assert running.stdout is not None
    try:
        read = await asyncio.wait_for(running.stdout.readline(), seconds)
    except TimeoutError as error:
        raise TimeoutError(f"waited {seconds:.0f} s for {what}") from error
    if not read:
        raise RuntimeError(f"a process ended while the bench waited for {what}")
    return read.decode()


async def peak(pid: int, until: asyncio.Task[str]) -> int:
    """The most bytes that a process and all below it had together, until then.

    Counted is what cannot be dropped: memory of files and of programs' text is not in it.
    """
    most = 0
    while not until.done():
        most = max(most, sum(map(_anonymous, _family(pid))))
        await asyncio.wait([until], timeout=_SAMPLE_SECONDS)
    return most


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return  # it has ended
    for child in children.split():
        yield from _family(int(child))


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))
