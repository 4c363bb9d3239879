# SPDX-License-Identifier: GPL-2.0-or-later
"""Deals over plain HTTP: a stream for each node, and on it the pieces that `dealing` gives it.

    POST /deal/INFOHASH?port=6881     the node's two sets of pieces: those it has, those it lacks

A set is ceil(pieces / 8) bytes, piece p the bit p % 8 of byte p // 8. Answered is an endless body:
piece and size as four bytes each in network order, then the piece; a size of zero says that all is
out, and what lacks comes from peers. What a node can take is what its connection takes: a fast node
gets more. The stream of a node that lacks nothing more stays
open and silent; the node closes it when it leaves the swarm.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from swarmstrap.ledger import piece_sizes
from swarmstrap_server.swarm.dealing import Deal

_HEAD = struct.Struct(">II")
# Bytes that a connection holds unsent: what is queued for one node cannot be given to another, and
# what is not queued when this process sleeps is not sent. So many seconds of the stream's own rate.
_UNSENT_SECONDS = 0.01
_UNSENT_LEAST, _UNSENT_MOST = 16 * 1024, 1024 * 1024
_IDLE_SECONDS = 0.5
# Pieces of one image under way at a time: with all nodes at once, nobody has one to pass on before
# all have one, and the last arrive together. The swarm grows from few; a node so slow that a piece
# takes longer than this does not hold a place.
_AT_A_TIME = 16
_PLACE_SECONDS = 1.0
# Behind one address are a node, and the stream of its life before; or a machine's virtual nodes.
# Somebody who takes deals and passes nothing on takes no more than this.
_MOST_STREAMS = 16
# A node that died without a word is noticed within half a minute.
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
    (socket.TCP_USER_TIMEOUT, 30_000),
)


# Address and port of the node's peer, and a number for this stream: of a node that was reset, the
# stream of its life before may still be there.
Stream = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A torrent's files (path, bytes) in order; each begins with a piece of its own (BEP 52)."""

    files: tuple[tuple[Path, int], ...]
    length: int

    @property
    def count(self) -> int:
        return len(piece_sizes([size for _, size in self.files], self.length))

    def read(self, piece: int) -> bytes:
        """Raises OSError; a file that is shorter than it was gives less than a piece."""
        for path, size in self.files:
            pieces = -(-size // self.length)
            if piece < pieces:
                with path.open("rb") as file:
                    return os.pread(file.fileno(), self.length, piece * self.length)
            piece -= pieces
        raise IndexError(piece)


class Pace:
    """Lets `rate` bytes a second through, all streams together; 0 is no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        if not self._rate:
            return
        now = asyncio.get_running_loop().time()
        begin = max(now, self._free_at)
        self._free_at = begin + size / self._rate
        await asyncio.sleep(begin - now)


@dataclass(slots=True)
class _Table:
    """One torrent's deal, `running` as it was told last; `sent` is bytes."""

    pieces: Pieces
    deal: Deal[Stream]
    places: asyncio.Semaphore
    running: bool = False
    sent: int = 0


class Dealer:
    """`turned` hears an infohash, whether its deal runs now, and the nodes that take part."""

    def __init__(
        self, rate: int, turned: Callable[[str, bool, tuple[tuple[str, int], ...]], None]
    ) -> None:
        self._pace = Pace(rate)
        self._turned = turned
        self._offered: frozenset[str] = frozenset()
        self._tables: dict[str, _Table] = {}
        self._streams = itertools.count()
        self._streams_to: Counter[str] = Counter()

    @property
    def sent(self) -> dict[str, int]:
        """Bytes by infohash, of all that was ever dealt."""
        return {infohash: table.sent for infohash, table in self._tables.items() if table.sent}

    def offer(self, offers: Mapping[str, Pieces]) -> None:
        """Deal these from now on, by infohash; streams that run go on."""
        self._offered = frozenset(offers)
        for infohash, pieces in offers.items():
            if infohash in self._tables:
                self._tables[infohash].pieces = pieces
            else:
                places = asyncio.Semaphore(_AT_A_TIME)
                self._tables[infohash] = _Table(pieces, Deal(pieces.count), places)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/deal/{infohash}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        infohash, address = request.match_info["infohash"], request.remote or ""
        if infohash not in self._offered:
            raise web.HTTPNotFound(text="no image of this site has that infohash\n")
        table = self._tables[infohash]
        body, half = await request.read(), -(-table.pieces.count // 8)
        port = request.query.get("port", "")
        if len(body) != 2 * half or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise web.HTTPBadRequest(text=f"wanted: ?port= and {2 * half} bytes of two sets\n")
        if self._streams_to[address] >= _MOST_STREAMS:
            raise web.HTTPTooManyRequests(text=f"{_MOST_STREAMS} deals go to {address} already\n")
        response = web.StreamResponse()
        await response.prepare(request)
        wire = _Wire(request, response)
        node = (address, int(port), next(self._streams))
        has, lacks = (int.from_bytes(part, "little") for part in (body[:half], body[half:]))
        table.deal.join(node, has=has, lacks=lacks)
        self._streams_to[address] += 1
        try:
            await self._deal(infohash, table, node, wire)
        finally:
            table.deal.leave(node)
            self._streams_to[address] -= 1
            self._look(infohash, table)
        return response

    async def _deal(self, infohash: str, table: _Table, node: Stream, wire: "_Wire") -> None:
        deal = table.deal
        while True:
            # Its turn comes when the others have caught up, or after six times the time that its
            # last piece took: a fast node among slow ones is slowed, but not to their pace.
            for _ in range(24):
                if deal.running and deal.ahead(node):
                    await asyncio.sleep(wire.took / 4)
            if not deal.running:
                self._look(infohash, table)
                await wire.all_out()
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            async with _place(table.places):
                piece = deal.next(node)
                if piece is not None:
                    self._look(infohash, table)
                    data = table.pieces.read(piece)
                    await self._pace.take(len(data))
                    await wire.send(piece, data)
                    table.sent += len(data)
            if piece is None:
                await asyncio.sleep(_IDLE_SECONDS)

    def _look(self, infohash: str, table: _Table) -> None:
        if table.deal.running != table.running:
            table.running = table.deal.running
            nodes = tuple((address, port) for address, port, _ in table.deal.nodes)
            self._turned(infohash, table.running, nodes)


@contextlib.asynccontextmanager
async def _place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    await places.acquire()
    held = [places]

    def give_back() -> None:
        if held:
            held.pop().release()

    late = asyncio.get_running_loop().call_later(_PLACE_SECONDS, give_back)
    try:
        yield
    finally:
        late.cancel()
        give_back()


class _Wire:
    """The connection to one node. `took` is how many seconds its last piece needed."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        transport = request.transport
        assert isinstance(transport, asyncio.WriteTransport)
        transport.set_write_buffer_limits(high=0)
        self._socket: socket.socket = transport.get_extra_info("socket")
        for option, value in _KEEPALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        self._response = response
        self._unsent = 0
        self._all_out = False
        self._hold(_UNSENT_LEAST)
        self.took = 0.0

    async def send(self, piece: int, data: bytes) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._all_out = False
        await self._response.write(_HEAD.pack(piece, len(data)) + data)
        self.took = clock() - began
        self._hold(round(_UNSENT_SECONDS * len(data) / max(self.took, 1e-6)))

    async def all_out(self) -> None:
        """Said once, until a piece follows after all."""
        if not self._all_out:
            self._all_out = True
            await self._response.write(_HEAD.pack(0, 0))

    def _hold(self, unsent: int) -> None:
        unsent = min(_UNSENT_MOST, max(_UNSENT_LEAST, unsent))
        if not self._unsent / 2 < unsent < self._unsent * 2:
            self._unsent = unsent
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
