# SPDX-License-Identifier: GPL-2.0-or-later
"""The server of a lab: the product's own, as a process inside the lab's network."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Self

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap_server.control.client import Operator
from swarmstrap_server.lab.network import Network
from swarmstrap_server.process import Child
from swarmstrap_server.site.paths import SitePaths

_SECONDS = 30.0


class LabServer:
    """`swarmstrap serve` for the site `paths` inside the network, logging beside the site. It
    answers from the beginning of the context to its end, but for who kills it meanwhile.
    """

    def __init__(self, paths: SitePaths, net: Network) -> None:
        self.operator = Operator(paths.socket)
        self.paths = paths
        self.net = net
        self._log = paths.root.parent / "serve.log"
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        self._log.unlink(missing_ok=True)
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Until it answers; raises SwarmstrapError, with its last words, when it does not."""
        site = str(self.paths.root)
        argv = [sys.executable, "-m", "swarmstrap_server.cli", "--site", site, "serve"]
        child = self._child = await Child.start(
            "the lab's server", argv, log_file=self._log, netns=self.net.name
        )
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                await asyncio.to_thread(self.operator.status)
                return
            except Unreachable:
                gone = child.process.returncode is not None
                if gone or time.monotonic() > deadline:
                    said = child.last_words()
                    raise SwarmstrapError(f"the lab's server does not answer: {said}") from None
                await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """Without a chance to say goodbye to anybody."""
        if self._child is not None:
            self._child.process.kill()
            await self._child.wait()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()


@contextlib.asynccontextmanager
async def serving(paths: SitePaths, net: Network) -> AsyncIterator[Operator]:
    """A server that nobody disturbs."""
    async with LabServer(paths, net) as server:
        yield server.operator
