# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server deals to this node: pieces of its choice over plain HTTP, each to one node of
the swarm, which passes it on. Nothing here is trusted: the swarm checks every piece.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

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
_CHECK_SECONDS = 60.0
_HEAD = struct.Struct(">II")
# Of torrents as they are made here; what claims to be more is not a piece.
_LARGEST_PIECE = 64 << 20
# What every socket has room for.
_WAKE_BYTES = 64 << 10


class Dealt:
    """This node's part in the deal at `url`, none if that is empty.

    `sets` are those of `swarmstrap_server.swarm.dealer`; `take` gets every piece, and says whether
    its hash is going to be checked: `checked` is heard when it was. `most` pieces wait for that.
    `all_out` is called when every piece has left the server.
    """

    def __init__(
        self,
        url: str,
        address: str,
        port: int,
        *,
        most: int,
        sets: Callable[[], bytes],
        take: Callable[[int, bytes], bool],
        all_out: Callable[[], None],
    ) -> None:
        self._url = url
        self._address = address
        self._port = port
        self._sets = sets
        self._take = take
        self._all_out = all_out
        self._unchecked: set[int] = set()
        self._room = asyncio.Semaphore(most)
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Again when more is wanted: what a node has and lacks is said at the beginning."""
        self.leave()
        if self._url:
            self._task = asyncio.create_task(self._follow())

    def leave(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def checked(self, piece: int) -> None:
        if piece in self._unchecked:
            self._unchecked.remove(piece)
            self._room.release()

    async def _follow(self) -> None:
        """Until cancelled. A server that does not deal is asked again now and then."""
        connector = aiohttp.TCPConnector(local_addr=(self._address, 0))
        port = {"port": str(self._port)}
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            delay = _FIRST_DELAY
            while True:
                try:
                    async with session.post(self._url, params=port, data=self._sets()) as answer:
                        if answer.status == 200:
                            delay = _FIRST_DELAY
                            await self._receive(_Stream(answer))
                        log.warning("the deal ended: %s", answer.reason)
                except (aiohttp.ClientError, TimeoutError, EOFError, ValueError) as error:
                    log.warning("nothing is dealt: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LAST_DELAY)

    async def _receive(self, stream: "_Stream") -> None:
        while True:
            piece, size = _HEAD.unpack(await stream.read(_HEAD.size))
            if not size:
                self._all_out()
                continue
            if size > _LARGEST_PIECE:
                raise ValueError(f"a piece of {size} bytes")
            data = await stream.read(size)
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._room.acquire()
            taken = False
            try:
                taken = self._take(piece, data)
            finally:
                if taken:
                    self._unchecked.add(piece)
                else:
                    self._room.release()


class _Stream:
    """The body of an answer. Its reader is woken when what it wants has come, not by every packet:
    at 250 Mbit/s those are 20,000 a second.
    """

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._content = answer.content
        transport = answer.connection.transport if answer.connection else None
        self._socket: socket.socket | None = None
        if transport is not None:
            connection: socket.socket = transport.get_extra_info("socket")
            for option in _KEEPALIVE:
                connection.setsockopt(*option)
            self._socket = connection
        self._held = bytearray()

    async def read(self, size: int) -> bytes:
        """So many bytes; raises EOFError where the body ends."""
        while len(self._held) < size:
            if self._socket is not None:
                lacking = min(size - len(self._held), _WAKE_BYTES)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, lacking)
            data = await self._content.readany()
            if not data:
                raise EOFError("it ended within a piece")
            self._held += data
        wanted = bytes(self._held[:size])
        del self._held[:size]
        return wanted
