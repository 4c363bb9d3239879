# SPDX-License-Identifier: GPL-2.0-or-later
"""What this site offers to the swarm, and the process that seeds it, kept alive."""

import asyncio
import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import Sequence

import msgspec

from swarmstrap.manifest import TORRENT_FILE
from swarmstrap_server.images.library import Image
from swarmstrap_server.swarm.seeder import Offer, Report, Wanted

log = logging.getLogger(__name__)

_FIRST_DELAY = 1.0
_LAST_DELAY = 30.0
# A process that lived so long did not fail at its start: begin again with the short delay.
_HEALTHY_SECONDS = 60.0
_STOP_SECONDS = 5.0
# It reports every second; this long it may take on a busy machine to load its libraries.
_HUNG_SECONDS = 20.0
# One line names every published image.
_REPORT_BYTES = 16 << 20


class Seeding:
    """Runs `python -m swarmstrap_server.swarm.seeder` and restarts it; tells it what is wanted.

    `uploaded` counts bytes over all restarts.
    """

    def __init__(
        self, address: str, port: int, deal_port: int, rate: int, trackers: Sequence[str]
    ) -> None:
        self._arguments = [address, str(port), str(deal_port), str(rate)]
        self._trackers = tuple(trackers)
        self._offers: tuple[Offer, ...] = ()
        self._process: asyncio.subprocess.Process | None = None
        self._uploaded_before = 0
        self._heard = -math.inf
        self.report = Report()

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two of them."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def silent(self) -> float:
        """Seconds since the last report, infinite before the first."""
        return time.monotonic() - self._heard

    @property
    def uploaded(self) -> int:
        return self._uploaded_before + sum(self.report.uploaded.values())

    def offer(self, offers: Sequence[Offer]) -> None:
        """Seed exactly these from now on, also after a restart."""
        self._offers = tuple(offers)
        self._tell()

    def _tell(self) -> None:
        if self._process is not None and self._process.stdin is not None and self.pid:
            wanted = Wanted(offers=self._offers, trackers=self._trackers)
            self._process.stdin.write(msgspec.json.encode(wanted) + b"\n")

    async def run(self) -> None:
        """Until cancelled. A seeder that cannot start is tried again, and the log says why."""
        delay = _FIRST_DELAY
        while True:
            began = time.monotonic()
            try:
                status = await self._run_once()
            finally:
                self._uploaded_before = self.uploaded
                self.report = Report()
            if time.monotonic() - began > _HEALTHY_SECONDS:
                delay = _FIRST_DELAY
            log.error("the seeder ended with status %s, again in %.0f s", status, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY)

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "swarmstrap_server.swarm.seeder",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Where this package was found, the child finds it too.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            limit=_REPORT_BYTES,
            # Ctrl-C is for the server, which then closes stdin.
            start_new_session=True,
        )
        self._process = process
        try:
            self._tell()
            await self._follow(process)
            return await process.wait()
        finally:
            await _stop(process)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        while line := await _line(process):
            self._heard = time.monotonic()
            self.report = msgspec.json.decode(line, type=Report)
            for problem in self.report.problems:
                log.error("seeder: %s", problem)


def offer_of(image: Image) -> Offer:
    return Offer(
        infohash=image.manifest.infohash,
        torrent=str(image.directory / TORRENT_FILE),
        directory=str(image.directory),
    )


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """Its next report; none once it has ended, or hung and was killed."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_HUNG_SECONDS):
            return await process.stdout.readline()
    except TimeoutError:
        log.error("the seeder has said nothing for %.0f s: killed", _HUNG_SECONDS)
        process.kill()
        return b""


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Closing stdin is the order to end; a seeder that does not obey in time is killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
