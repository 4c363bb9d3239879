# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracker over HTTP, and the seeder's process with a real peer that downloads from it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_from_bytes

import libtorrent as lt
from tests.http.conftest import ADDRESS, Live, free_ports, register

from swarmstrap import tuning
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.swarm.announces import bencode

SECONDS = 30.0


async def until(what: str, ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < give_up, f"waited {SECONDS:.0f} s for {what}"
        await asyncio.sleep(0.05)


async def announce(live: Live, infohash: bytes, port: int) -> bytes:
    query = (
        f"info_hash={quote_from_bytes(infohash)}&peer_id={'p' * 20}&port={port}&left=1&compact=1"
    )
    async with live.http.get(f"{live.boot}/announce?{query}") as response:
        assert response.status == 200
        return await response.read()


async def take_a_job(live: Live) -> None:
    """From then on this machine's address is that of node n1."""
    live.services.deployments.arm(Arm(nodes=("n1",), image="tiny"))
    registered = await live.api.register(register(), patience=0)
    await live.api.job(registered.token, patience=0)


async def test_the_tracker_names_the_seeder_first_and_then_the_peers(live: Live) -> None:
    await take_a_job(live)
    infohash = bytes.fromhex(next(iter(live.services.published)))[:20]
    seeder = live.services.deployments.site.settings.ports.seeder
    first = await announce(live, infohash, 5001)
    second = await announce(live, infohash, 5002)
    local = bytes([127, 0, 0, 1])
    assert b"5:peers" + bencode(local + seeder.to_bytes(2, "big")) in first
    both = local + seeder.to_bytes(2, "big") + local + (5001).to_bytes(2, "big")
    assert b"5:peers" + bencode(both) in second


async def test_without_a_job_one_is_a_stranger_and_no_node_hears_of_it(live: Live) -> None:
    infohash = bytes.fromhex(next(iter(live.services.published)))[:20]
    await announce(live, infohash, 5001)
    await take_a_job(live)
    assert b"5:peers6:" in await announce(live, infohash, 5002)


async def test_the_tracker_knows_the_racks_of_nodes(live: Live) -> None:
    nodes = live.paths.root / "nodes" / "lab.yaml"
    nodes.write_text(nodes.read_text().replace("hostname: n1", "rack: r7\n  hostname: n1"))
    await take_a_job(live)
    infohash = bytes.fromhex(next(iter(live.services.published)))[:20]
    # The first two nodes of a rack without a seeder are its gateways, the third is not.
    told = [await announce(live, infohash, port) for port in range(5001, 5004)]
    port = live.services.deployments.site.settings.ports.seeder
    seeder = bytes([127, 0, 0, 1]) + port.to_bytes(2, "big")
    assert [seeder in answer for answer in told] == [True, True, False]


async def test_the_tracker_knows_published_images_only(live: Live) -> None:
    assert b"14:failure reason" in await announce(live, b"\xff" * 20, 5001)


def peer(live: Live, folder: Path, port: int) -> tuple[lt.session, lt.torrent_handle]:
    parameters = lt.session_params()
    parameters.settings = tuning.node(ADDRESS, port)
    session = lt.session(parameters)
    torrent = lt.load_torrent_file(str(live.paths.images / "tiny" / "1" / "image.torrent"))
    torrent.save_path = str(folder)
    torrent.trackers = [f"{live.boot}/announce"]
    return session, session.add_torrent(torrent)


async def test_a_peer_gets_the_image_from_the_seeder_also_after_it_was_killed(
    live: Live, tmp_path: Path
) -> None:
    await take_a_job(live)
    seeding = live.services.seeding
    running = asyncio.create_task(seeding.run())
    try:
        await until("the seeder's first report", lambda: seeding.report.seeding == 1)
        first = seeding.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until("another seeder", lambda: seeding.pid not in (None, first))
        await until("its first report", lambda: seeding.report.seeding == 1)
        session, torrent = peer(live, tmp_path, free_ports(1)[0])
        await until("the image", lambda: torrent.status().is_seeding)
        for name in ("index.zst", "root.tar.zst"):
            published = live.paths.images / "tiny" / "1" / name
            assert (tmp_path / "tiny-1" / name).read_bytes() == published.read_bytes()
        payload = (live.paths.images / "tiny" / "1" / "root.tar.zst").stat().st_size
        await until("the seeder's count", lambda: seeding.uploaded >= payload)
        assert live.services.tracker.peers == 2
        del session
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert seeding.pid is None
