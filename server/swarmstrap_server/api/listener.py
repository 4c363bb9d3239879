# SPDX-License-Identifier: GPL-2.0-or-later
"""The app of the operator's listeners: every route of the table, behind the role it names."""

import hashlib
import logging
from http import HTTPStatus

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput
from swarmstrap_server import health
from swarmstrap_server.api import auth, exposition
from swarmstrap_server.api.idempotency import UNDER_WAY, answered_once
from swarmstrap_server.api.openapi import document
from swarmstrap_server.api.problems import Handler, problems
from swarmstrap_server.api.reference import DOCUMENT
from swarmstrap_server.api.route import JSON, Call, Route
from swarmstrap_server.api.table import ROUTES
from swarmstrap_server.app import SERVICES, Services, timed
from swarmstrap_server.control.operator_wire import BASE
from swarmstrap_server.dashboard import web as dashboard

log = logging.getLogger(__name__)

# A thousand names of nodes are some ten kilobytes.
MAX_BODY = 1 << 20


def init_app(services: Services, *, local: bool) -> web.Application:
    """`local` is for the Unix socket alone: whoever asks there is admin."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[timed, problems])
    app[SERVICES] = services
    app[auth.LOCAL] = local
    app[UNDER_WAY] = set()
    app[DOCUMENT] = document(ROUTES)
    for route in ROUTES:
        app.router.add_route(route.method, BASE + route.path, _guarded(route))
    if not local:
        dashboard.add_routes(app)
    app.router.add_get(health.HEALTHZ, health.healthz)
    app.router.add_get(health.READYZ, health.readyz)
    app.router.add_get(exposition.PATH, exposition.metrics)
    app.on_shutdown.append(_end_streams)
    return app


def _guarded(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        principal = auth.demand(request, route.role)
        _check_given(request, route)
        if route.method != "GET":
            log.info("%s %s by %s", request.method, request.path, principal.name)
        call = Call(request, route, request.app[SERVICES], principal)
        if route.once:
            return await answered_once(call, _answer)
        return await _answer(call)

    return handle


def _check_given(request: web.Request, route: Route) -> None:
    if route.query is None and request.query:
        raise BadInput(f"{request.path} takes no query, and got {request.query_string!r}")
    if route.body is None and request.can_read_body:
        raise BadInput(f"{request.method} {request.path} takes no body")


async def _answer(call: Call) -> web.StreamResponse:
    route = call.route
    value = await route.handler(call)
    if isinstance(value, web.StreamResponse):
        return value
    if route.answer is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    content = msgspec.json.encode(value)
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if route.method == "GET":
        tag = hashlib.sha256(content).hexdigest()[:32]
        headers["ETag"] = f'"{tag}"'
        if _holds(call.request, tag):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(body=content, status=route.status, content_type=JSON, headers=headers)


def _holds(request: web.Request, tag: str) -> bool:
    return any(known.value in (tag, "*") for known in request.if_none_match or ())


async def _end_streams(app: web.Application) -> None:
    app[SERVICES].deployments.feed.end()
