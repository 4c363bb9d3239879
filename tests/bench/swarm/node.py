# SPDX-License-Identifier: GPL-2.0-or-later
"""One node of the swarm's benchmark: the agent's swarm, as a deployment uses it.

    python -m tests.bench.swarm.node TORRENT INFOHASH FOLDER ADDRESS SERVER [leave]

Says `ready`, begins at a line on stdin, says `done`, and serves its peers until it is ended, or
leaves at once.
"""

import asyncio
import sys
from pathlib import Path

from swarmstrap.effects.transfer.swarm import Swarm, load


async def take_part(
    torrent_file: str, infohash: str, folder: str, address: str, server: str, leave: str = ""
) -> None:
    torrent = load(Path(torrent_file).read_bytes(), infohash)
    print("ready", flush=True)
    await _line()
    async with Swarm(
        torrent,
        Path(folder),
        trackers=(f"http://{server}:8080/announce",),
        seeders=frozenset({server}),
        deal=f"http://{server}:6882/deal/{infohash}",
        address=address,
    ) as swarm:
        async for _ in swarm.pieces():
            pass
        print("done", flush=True)
        if not leave:
            await _line()


async def _line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(take_part(*sys.argv[1:]))
