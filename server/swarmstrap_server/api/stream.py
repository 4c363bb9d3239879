# SPDX-License-Identifier: GPL-2.0-or-later
"""`/stream`: server-sent events, of which a client that connects again misses none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput
from swarmstrap_server.api.auth import demand
from swarmstrap_server.api.problems import Anonymous, Forbidden
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import history, views
from swarmstrap_server.control.events import Listener
from swarmstrap_server.control.operator_wire import Record, Snapshot

MEDIA = "text/event-stream"
# Events that are told again; who missed more reads those of the nodes that it cares for.
REPLAY = 10_000
# A client that went away is found out by writing to it, one that was shut out by looking.
_ALIVE_SECONDS = 15.0


async def stream(call: Call) -> web.StreamResponse:
    """With `Last-Event-ID` first what was said since. Then `event: snapshot`, then `event: record`
    for what happens; data is one line of JSON. Progress is not kept, so it has no id.

    A listener that cannot keep up is cut off, and connects again.
    """
    deployments = call.services.deployments
    store = deployments.store
    with deployments.feed.listen() as listener:
        # Nothing is awaited before the snapshot is made: what comes after it is in the queue.
        last = history.last_event(store)
        since = min(_heard(call.request, last), last)
        told, missed = history.newest_events_after(store, since, REPLAY)
        nodes = views.node_views(deployments.site, store)
        snapshot = Snapshot(nodes=nodes, missed=missed)
        response = web.StreamResponse(headers={"Content-Type": MEDIA, "Cache-Control": "no-store"})
        await response.prepare(call.request)
        # Clients leave without a word.
        with contextlib.suppress(ConnectionError):
            async with _kept_alive(call, response, listener):
                for record in told:
                    await response.write(_sse("record", record, record.id))
                await response.write(_sse("snapshot", snapshot, last))
                async for record in listener:
                    await response.write(_sse("record", record, record.id))
    return response


def _heard(request: web.Request, last: int) -> int:
    """The event that the client heard last; without one it misses nothing."""
    given = request.headers.get("Last-Event-ID")
    if not given:
        return last
    if not (given.isascii() and given.isdigit()):
        raise BadInput(f"Last-Event-ID is the id of an event, not {given!r}")
    return int(given)


@contextlib.asynccontextmanager
async def _kept_alive(
    call: Call, response: web.StreamResponse, listener: Listener
) -> AsyncIterator[None]:
    """Ends with the client's connection, or with its right to listen."""

    async def comment() -> None:
        with contextlib.suppress(ConnectionError, Anonymous, Forbidden):
            while True:
                await asyncio.sleep(_ALIVE_SECONDS)
                demand(call.request, call.route.role, again=True)
                await response.write(b":\n\n")
        listener.end()

    task = asyncio.create_task(comment())
    try:
        yield
    finally:
        task.cancel()


def _sse(event: str, data: msgspec.Struct, key: int) -> bytes:
    line = b"id: %d\n" % key if key else b""
    return b"%bevent: %b\ndata: %b\n\n" % (line, event.encode(), msgspec.json.encode(data))


ROUTES = (
    Route(
        "GET",
        "/stream",
        "viewer",
        "Server-sent events: what is, then what happens",
        stream,
        Snapshot | Record,
        media=MEDIA,
    ),
)
