# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain peers that keep to what the server's tracker tells them: two racks and their gateways."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from tests.swarm.peers import PAYLOAD_SIZE, Peer, make_files, make_torrent

from swarmstrap_server.swarm.neighbours import PEERS_A_GATEWAY
from swarmstrap_server.swarm.tracker import Tracker

SEEDER = ("127.0.1.1", 6881)
NODES = 8
SECONDS = 60.0


@asynccontextmanager
async def tracking(infohash: str) -> AsyncIterator[str]:
    """The URL of a tracker to which 127.0.N.x is rack N."""
    tracker = Tracker(SEEDER, time.monotonic, rack="1", rack_of=lambda address: address[6])
    tracker.track([infohash])

    async def announce(request: web.Request) -> web.Response:
        query = request.raw_path.partition("?")[2]
        return web.Response(body=tracker.announce(query, request.remote or ""))

    app = web.Application()
    app.router.add_get("/announce", announce)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/announce"
    await runner.cleanup()


class Node(Peer):
    def __init__(self, data: bytes, folder: Path, rack: int, number: int, tracker: str) -> None:
        self.rack = f"127.0.{rack}."
        super().__init__(data, folder, f"{self.rack}{number + 10}", tracker, seeding=False)

    @property
    def from_other_racks(self) -> int:
        """Payload bytes over the connections that are open."""
        peers = self.handle.get_peer_info()
        return sum(p.total_download for p in peers if not p.ip[0].startswith(self.rack))


async def test_few_nodes_of_a_rack_get_the_image_for_all_of_them(tmp_path: Path) -> None:
    make_files(tmp_path / "image")
    data, infohash = make_torrent(tmp_path / "image")
    async with tracking(infohash) as url:
        nodes = []
        for rack in (1, 2):
            for number in range(NODES):
                folder = tmp_path / f"{rack}-{number}"
                nodes.append(Node(data, folder, rack, number, url))
        seeder = Peer(data, tmp_path / "image", SEEDER[0], url)
        give_up = time.monotonic() + SECONDS
        while not all(node.handle.status(0).is_seeding for node in nodes):
            assert time.monotonic() < give_up, f"waited {SECONDS:.0f} s for the image on all nodes"
            await asyncio.sleep(0.1)
        took = [node.from_other_racks for node in nodes[NODES:]]
    # The others have nobody to ask outside of their rack; the seeder is in the first one, too.
    gateways = 1 + NODES // PEERS_A_GATEWAY
    assert 1 <= sum(taken > 0 for taken in took) <= gateways
    assert PAYLOAD_SIZE < sum(took) < 1.1 * gateways * PAYLOAD_SIZE
    assert seeder.uploaded > 0
