# SPDX-License-Identifier: GPL-2.0-or-later
"""`/stream`: server-sent events, a snapshot and then what happens."""

import msgspec
from aiohttp import web

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import Record, Snapshot

MEDIA = "text/event-stream"


async def stream(call: Call) -> web.StreamResponse:
    """`event: snapshot` once, then `event: record`; data is one line of JSON.

    A listener that cannot keep up is cut off, connects again and gets a new snapshot.
    """
    deployments = call.services.deployments
    response = web.StreamResponse(headers={"Content-Type": MEDIA, "Cache-Control": "no-store"})
    with deployments.feed.listen() as listener:
        await response.prepare(call.request)
        nodes = views.node_views(deployments.site, deployments.store)
        await response.write(_sse("snapshot", Snapshot(nodes=nodes)))
        async for record in listener:
            await response.write(_sse("record", record))
    return response


def _sse(event: str, data: msgspec.Struct) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))


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
