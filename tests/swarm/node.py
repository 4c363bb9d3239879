# SPDX-License-Identifier: GPL-2.0-or-later
"""A node of tests/swarm/network.py: a process, so that it can be killed and live on its own cable.

    python -m tests.swarm.node SITE IMAGE FOLDER ADDRESS HELP_SECONDS

Begins at a line on stdin. Says how many pieces it has each time it has more, what it would tell the
server, and when it has all, `done` and a `Received` as JSON; serves its peers until stdin ends.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
from tests.swarm.site import join

from swarmstrap.effects.transfer.swarm import Patience
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.site.paths import SitePaths

_GIVE_UP_SECONDS = 300.0


async def fetch(site: Path, image: str, folder: Path, address: str, patience: Patience) -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    paths = SitePaths(site)
    published = ImageStore(paths.images).get(image)
    swarm = join(paths, published, folder, address, patience, tell=lambda line: say(f"told {line}"))
    async with swarm:
        count = 0
        async for _ in swarm.pieces():
            count += 1
            say(f"have {count}")
        say(f"done {msgspec.json.encode(swarm.received).decode()}")
        await asyncio.to_thread(sys.stdin.read)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    root, name, place, own, seconds = sys.argv[1:]
    patient = Patience(help=float(seconds), give_up=_GIVE_UP_SECONDS)
    asyncio.run(fetch(Path(root), name, Path(place), own, patient))
