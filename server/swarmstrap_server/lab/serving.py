# SPDX-License-Identifier: GPL-2.0-or-later
"""The server of a lab: the product's own, as a process inside the lab's network."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap_server.control.client import Operator
from swarmstrap_server.lab.network import Network
from swarmstrap_server.process import Child
from swarmstrap_server.site.paths import SitePaths

_SECONDS = 30.0


@contextlib.asynccontextmanager
async def serving(paths: SitePaths, net: Network) -> AsyncIterator[Operator]:
    """`swarmstrap serve` for the site `paths` inside the network, logging beside the site.

    Raises SwarmstrapError, with the server's last words, when it does not answer.
    """
    log = paths.root.parent / "serve.log"
    log.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "swarmstrap_server.cli", "--site", str(paths.root), "serve"]
    child = await Child.start("the lab's server", argv, log_file=log, netns=net.name)
    try:
        operator = Operator(paths.socket)
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                await asyncio.to_thread(operator.status)
                break
            except Unreachable:
                gone = child.process.returncode is not None
                if gone or time.monotonic() > deadline:
                    said = child.last_words()
                    raise SwarmstrapError(f"the lab's server does not answer: {said}") from None
                await asyncio.sleep(0.2)
        yield operator
    finally:
        await child.stop()
