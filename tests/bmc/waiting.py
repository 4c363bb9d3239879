# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulator that was started does not listen at once."""

import asyncio
from collections.abc import Sequence

from swarmstrap_server.run import run

_SECONDS = 60.0


async def answers(argv: Sequence[str], netns: str | None) -> None:
    """Wait for a simulator: this command succeeds as soon as it listens."""
    async with asyncio.timeout(_SECONDS):
        status = 1
        while status:
            await asyncio.sleep(0.1)
            asked = await asyncio.to_thread(run, argv, timeout=_SECONDS, check=False, netns=netns)
            status = asked.returncode
