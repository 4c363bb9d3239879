# SPDX-License-Identifier: GPL-2.0-or-later
"""How a node leaves: the server hears the end, a person may have a shell, then the firmware."""

import asyncio
from typing import TYPE_CHECKING

from swarmstrap.effects import finish
from swarmstrap.effects.console import Console, active
from swarmstrap.errors import StepFailed
from swarmstrap.failure import SHELL_SECONDS
from swarmstrap.reporter import Reporter

if TYPE_CHECKING:
    from swarmstrap.effects.http import NodeApi
    from swarmstrap.effects.transfer.bootshare import BootShare

_FLUSH_SECONDS = 15.0
# A server that was restarted is back by then; one that is gone must not keep the node.
_RETURN_SECONDS = 120.0


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
        await self._report.close()
        if self.server is not None:
            await self.server.close()

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
