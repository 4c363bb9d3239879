# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator API on a Unix socket: who may open the socket may do everything."""

import msgspec
from aiohttp import web

from swarmstrap_server.app import SERVICES, Services, answer, body, new_app
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import (
    DEPLOYMENTS,
    NODES,
    STATUS,
    STREAM,
    Arm,
    Disarm,
    Snapshot,
    Status,
)


def init_app(services: Services) -> web.Application:
    app = new_app(services)
    app.router.add_get(NODES, _nodes)
    app.router.add_get(DEPLOYMENTS, _deployments)
    app.router.add_post(DEPLOYMENTS, _arm)
    app.router.add_delete(DEPLOYMENTS, _disarm)
    app.router.add_get(STREAM, _stream)
    app.router.add_get(STATUS, _status)
    app.on_shutdown.append(_end_streams)
    return app


async def _nodes(request: web.Request) -> web.Response:
    deployments = request.app[SERVICES].deployments
    return answer(views.node_views(deployments.site, deployments.store))


async def _deployments(request: web.Request) -> web.Response:
    return answer(request.app[SERVICES].deployments.store.deployments())


async def _arm(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    order = await body(request, Arm)
    services.publish()
    return answer(services.deployments.arm(order), status=201)


async def _disarm(request: web.Request) -> web.Response:
    request.app[SERVICES].deployments.disarm((await body(request, Disarm)).nodes)
    return web.Response(status=204)


async def _stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: `event: snapshot` once, then `event: record`; data is one line of JSON.

    A listener that cannot keep up is cut off, connects again and gets a new snapshot.
    """
    deployments = request.app[SERVICES].deployments
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    with deployments.feed.listen() as listener:
        await response.prepare(request)
        nodes = views.node_views(deployments.site, deployments.store)
        await response.write(_sse("snapshot", Snapshot(nodes=nodes)))
        async for record in listener:
            await response.write(_sse("record", record))
    return response


async def _end_streams(app: web.Application) -> None:
    app[SERVICES].deployments.feed.end()


async def _status(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    site = services.deployments.site
    return answer(
        Status(
            site=site.settings.name,
            boot_url=site.boot_url,
            node_url=site.node_url,
            announces=services.tracker.counters.announces,
            peers=services.tracker.peers,
            seeder_running=services.seeding.pid is not None,
            seeder_uploaded=services.seeding.uploaded,
            seeder_rate=services.seeding.report.rate,
            runs=views.latest_runs(services.deployments.store),
        )
    )


def _sse(event: str, data: msgspec.Struct) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))
