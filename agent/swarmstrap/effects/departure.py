# SPDX-License-Identifier: GPL-2.0-or-later
"""How a node leaves: the server hears the end, a person may have a shell, then the firmware."""

import asyncio
import logging
from typing import TYPE_CHECKING

from swarmstrap.effects import finish
from swarmstrap.effects import log as logs
from swarmstrap.effects.console import Console, active
from swarmstrap.errors import StepFailed, SwarmstrapError
from swarmstrap.failure import SHELL_SECONDS
from swarmstrap.reporter import Reporter
from swarmstrap.wire import NodeLog

if TYPE_CHECKING:
    from swarmstrap.effects.http import NodeApi
    from swarmstrap.effects.transfer.bootshare import BootShare

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 15.0
# A server that was restarted is back by then; one that is gone must not keep the node.
_RETURN_SECONDS = 120.0
_LOG_SECONDS = 15.0
# Of a longer log the end is sent.
_LOG_CHARACTERS = 2_000_000


class Departure:
    """`server` and `share` are set as soon as there are any to part with."""

    def __init__(self, report: Reporter, console: Console) -> None:
        self.server: NodeApi | None = None
        self.share: BootShare | None = None
        self._report = report
        self._console = console

    async def part(self) -> None:
        """Whatever was reported reaches the server now, or never."""
        if self.share is not None:
            await self.share.leave()
        if not await self._report.flush(_FLUSH_SECONDS) and self._report.connected:
            self._console.lines(
                [f"the server does not hear the end; waiting {_RETURN_SECONDS:.0f} s for it"]
            )
            await self._report.flush(_RETURN_SECONDS)
        await self._leave_log()
        await self._report.close()
        if self.server is not None:
            await self.server.close()

    async def _leave_log(self) -> None:
        """It goes with this boot; of use to nobody but the curious, so one try is enough."""
        if self.server is None or not self._report.connected or self._report.unheard:
            return
        told = await asyncio.to_thread(_whole_log)
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                await self.server.keep_log(told)
        except (SwarmstrapError, TimeoutError) as error:
            log.warning("the server did not get this log: %s", error)

    async def shell(self, why: str) -> None:
        """Returns when a person leaves the shell; raises StepFailed when nobody uses it."""
        self._console.lines([f"shell: {why}; leave it with exit"])
        with self._console.silent():
            await asyncio.to_thread(finish.shell, active(), SHELL_SECONDS)

    async def last_shell(self, why: str) -> None:
        try:
            await self.shell(why)
        except StepFailed as error:
            self._console.lines([str(error)])

    async def leave(self, how: finish.Leave) -> None:
        await asyncio.to_thread(finish.leave, how)


def _whole_log() -> NodeLog:
    return NodeLog(agent=logs.read()[-_LOG_CHARACTERS:], kernel=logs.kernel())
