# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a swarm whose server fails in the middle of it: nothing is lost but time."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.swarm.site import Fetching, Server, join, make_site, same, serving, torrent_of
from tests.trees import scratch

from swarmstrap.effects.transfer.swarm import Swarm
from swarmstrap_server.images.publish import Published
from swarmstrap_server.site.paths import SitePaths

SERVER = "127.0.0.1"
NODES = ("127.0.0.21", "127.0.0.22", "127.0.0.23")
PAYLOAD, RATE = 8_000_000, 3_000_000
DEADLINE = 60.0

Made = tuple[SitePaths, Published]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with scratch() as folder:
        yield make_site(folder, SERVER, PAYLOAD, RATE)


@pytest.fixture
def server(made: Made) -> Iterator[Server]:
    with serving(made[0]) as server:
        yield server


@pytest.fixture
async def nodes(made: Made, server: Server, tmp_path: Path) -> AsyncIterator[list[Swarm]]:
    async with AsyncExitStack() as stack:
        joined = [join(*made, tmp_path, address) for address in NODES]
        yield [await stack.enter_async_context(swarm) for swarm in joined]


def whole(image: Published, folder: Path, nodes: list[Swarm]) -> None:
    """Every node has the image, and counted each byte of it once."""
    for swarm, address in zip(nodes, NODES, strict=True):
        assert same(image, folder / address)
        assert swarm.received.total == image.manifest.payload.size + image.manifest.index.size
        assert swarm.received.refused == 0


async def begun(made: Made, nodes: list[Swarm]) -> asyncio.Task[None]:
    """The nodes' fetch, once a third of the pieces is somewhere."""
    fetching = Fetching(nodes, DEADLINE)
    running = asyncio.create_task(fetching.run())
    await fetching.until(torrent_of(made[1]).pieces // 3)
    return running


async def test_gone_once_every_piece_is_out_once(
    made: Made, server: Server, nodes: list[Swarm], tmp_path: Path
) -> None:
    fetching = Fetching(nodes, DEADLINE)
    running = asyncio.create_task(fetching.run())
    pieces = torrent_of(made[1]).pieces
    await fetching.until(pieces)
    server.kill()
    assert min(map(len, fetching.arrived)) < pieces
    await running
    whole(made[1], tmp_path, nodes)


async def test_killed_in_the_middle_and_started_again(
    made: Made, server: Server, nodes: list[Swarm], tmp_path: Path
) -> None:
    running = await begun(made, nodes)
    server.kill()
    await asyncio.to_thread(server.start)
    await running
    whole(made[1], tmp_path, nodes)


async def test_a_seeder_that_is_killed_is_replaced(
    made: Made, server: Server, nodes: list[Swarm], tmp_path: Path
) -> None:
    running = await begun(made, nodes)
    killed = server.seeder
    os.kill(killed, signal.SIGKILL)
    await running
    deadline = time.monotonic() + DEADLINE
    while server.seeders in ([], [killed]):
        assert time.monotonic() < deadline, f"no other seeder after {DEADLINE:.0f} s"
        await asyncio.sleep(0.05)
    whole(made[1], tmp_path, nodes)


async def test_a_seeder_that_hangs_is_replaced_by_http(
    made: Made, server: Server, nodes: list[Swarm], tmp_path: Path
) -> None:
    running = await begun(made, nodes)
    os.kill(server.seeder, signal.SIGSTOP)
    await running
    whole(made[1], tmp_path, nodes)
