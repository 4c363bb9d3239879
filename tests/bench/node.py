# SPDX-License-Identifier: GPL-2.0-or-later
"""One node of tests/bench/swarm.py: the agent's swarm, or a plain HTTP download.

    python -m tests.bench.node swarm TORRENT INFOHASH FOLDER ADDRESS TRACKER
    python -m tests.bench.node http URL FOLDER

Says `ready`, begins at a line on stdin, says when it had everything (CLOCK_MONOTONIC, which all
namespaces share), and serves its peers until stdin ends.
"""

import asyncio
import shutil
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from swarmstrap.effects.transfer.swarm import Swarm, load


async def by_swarm(
    torrent_file: str, infohash: str, folder: str, address: str, tracker: str
) -> None:
    torrent = load(Path(torrent_file).read_bytes(), infohash)
    seeder = urlsplit(tracker).hostname or ""
    await _wait_for_line()
    async with Swarm(
        torrent,
        Path(folder),
        trackers=(tracker,),
        seeders=frozenset({seeder}),
        address=address,
    ) as swarm:
        async for _ in swarm.pieces():
            pass
        print(time.monotonic(), flush=True)
        await _wait_for_line()


def by_http(url: str, folder: str) -> None:
    sys.stdin.readline()
    with urllib.request.urlopen(url, timeout=60) as answer, (Path(folder) / "got").open("wb") as to:
        shutil.copyfileobj(answer, to, 1 << 16)
    print(time.monotonic(), flush=True)
    sys.stdin.readline()


async def _wait_for_line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    print("ready", flush=True)
    way, *words = sys.argv[1:]
    if way == "swarm":
        asyncio.run(by_swarm(*words))
    else:
        by_http(*words)
