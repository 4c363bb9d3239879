# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody on the network who opens connections and means no good: the swarm goes on."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.swarm.site import Fetching, Server, join, make_site, same, serving, torrent_of
from tests.trees import scratch

from swarmstrap.effects.transfer.swarm import PORT
from swarmstrap_server.images.publish import Published
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

SERVER, STRANGER = "127.0.0.1", "127.0.0.66"
NODES = ("127.0.0.21", "127.0.0.22", "127.0.0.23")
ATTEMPTS = 1000
PAYLOAD, RATE = 6_000_000, 3_000_000
DEADLINE = 60.0
_CONNECT_SECONDS = 5.0
# What many systems give a process that asks for no more.
USUAL_LIMITS = ("prlimit", "--nofile=1024:8192")

Made = tuple[SitePaths, Published]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with scratch() as folder:
        yield make_site(folder, SERVER, PAYLOAD, RATE)


@pytest.fixture
def server(made: Made) -> Iterator[Server]:
    with serving(made[0], USUAL_LIMITS) as server:
        yield server


def interested(made: Made) -> bytes:
    """A handshake that holds, and `interested`: whoever says so is served."""
    infohash = bytes.fromhex(made[1].manifest.infohash)[:20]
    handshake = b"\x13BitTorrent protocol" + bytes(8) + infohash + os.urandom(20)
    return handshake + b"\x00\x00\x00\x01\x02"


def wants_a_deal(made: Made) -> bytes:
    """Of everything; the answer is never read."""
    sets = -(-torrent_of(made[1]).pieces // 8)
    head = f"POST /deal/{made[1].manifest.infohash}?port=6881 HTTP/1.1\r\nHost: a\r\n"
    return f"{head}Content-Length: {2 * sets}\r\n\r\n".encode() + bytes(sets) + b"\xff" * sets


@asynccontextmanager
async def strangers(where: tuple[str, int], said: list[bytes]) -> AsyncIterator[int]:
    """ATTEMPTS connections at once, each with something said; those that were accepted are held."""
    await answers(where)
    sockets = [socket.socket() for _ in range(ATTEMPTS)]
    try:
        trying = (attempt(one, where, said[n % len(said)]) for n, one in enumerate(sockets))
        yield sum(await asyncio.gather(*trying))
    finally:
        for one in sockets:
            one.close()


async def attempt(one: socket.socket, where: tuple[str, int], said: bytes) -> bool:
    loop = asyncio.get_running_loop()
    one.setblocking(False)
    one.bind((STRANGER, 0))
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await loop.sock_connect(one, where)
            await loop.sock_sendall(one, said)
    except OSError:
        return False
    return True


async def answers(where: tuple[str, int]) -> None:
    """The seeder's process begins when the server is ready."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                _, writer = await asyncio.open_connection(*where)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def ports_of(made: Made, target: str) -> dict[tuple[str, int], list[bytes]]:
    """Where the strangers go, and what they say there."""
    said = [b"", os.urandom(68), interested(made)]
    if target == "node":
        return {(NODES[0], PORT): said}
    ports = read_site(made[0].root).settings.ports
    return {
        (SERVER, ports.seeder): said,
        (SERVER, ports.deal): [wants_a_deal(made)],
        (SERVER, ports.boot): [b"", b"GET /announce?info_hash="],
    }


@pytest.mark.parametrize("target", ["node", "server"])
async def test_a_thousand_connections_of_a_stranger(
    target: str, made: Made, server: Server, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        # Strangers come first, but a node must be there for them.
        nodes = [join(*made, tmp_path, address) for address in NODES[: target == "node"]]
        for where, said in ports_of(made, target).items():
            assert await stack.enter_async_context(strangers(where, said)) > 10
        nodes += [join(*made, tmp_path, address) for address in NODES[len(nodes) :]]
        for swarm in nodes:
            await stack.enter_async_context(swarm)
        await Fetching(nodes, DEADLINE).run()
    for address in NODES:
        assert same(made[1], tmp_path / address)
