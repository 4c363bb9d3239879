# SPDX-License-Identifier: GPL-2.0-or-later
"""`/metrics`, where Prometheus looks for it: for whoever has a viewer's token."""

from aiohttp import web

from swarmstrap_server.api import auth
from swarmstrap_server.app import SERVICES
from swarmstrap_server.metrics import CONTENT_TYPE

PATH = "/metrics"


async def metrics(request: web.Request) -> web.Response:
    auth.demand(request, "viewer")
    page = request.app[SERVICES].metrics.page()
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
