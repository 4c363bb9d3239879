# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server deals to this node: pieces of its choice over plain HTTP, each to one node of
the swarm, which passes it on. Nothing here is trusted: the swarm checks every piece.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

import aiohttp

log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
_FIRST_DELAY, _LAST_DELAY = 0.25, 5.0
# A server that died without a word, or was cut off, is noticed within half a minute: nothing is
# sent to it that could fail.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
_HEAD = struct.Struct(">II")
# Of torrents as they are made here; what claims to be more is not a piece.
_LARGEST_PIECE = 64 << 20


async def take_deal(
    url: str,
    address: str,
    port: int,
    sets: Callable[[], bytes],
    take: Callable[[int, bytes], Awaitable[None]],
) -> None:
    """Until cancelled. `sets` are those of `swarmstrap_server.swarm.dealer`, asked anew for each
    connection; `take` gets every piece. A server that does not deal is asked again now and then.
    """
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        delay = _FIRST_DELAY
        while True:
            try:
                async with session.post(url, params={"port": str(port)}, data=sets()) as answer:
                    if answer.status == 200:
                        delay = _FIRST_DELAY
                        _keep_alive(answer)
                        await _receive(answer.content, take)
                    log.warning("the deal ended: %s", answer.reason)
            except (aiohttp.ClientError, TimeoutError, EOFError, ValueError) as error:
                log.warning("nothing is dealt: %s", error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY)


def _keep_alive(answer: aiohttp.ClientResponse) -> None:
    transport = answer.connection.transport if answer.connection else None
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        for option in _KEEPALIVE:
            connection.setsockopt(*option)


async def _receive(
    stream: aiohttp.StreamReader, take: Callable[[int, bytes], Awaitable[None]]
) -> None:
    while True:
        piece, size = _HEAD.unpack(await stream.readexactly(_HEAD.size))
        if size > _LARGEST_PIECE:
            raise ValueError(f"a piece of {size} bytes")
        await take(piece, await stream.readexactly(size))
