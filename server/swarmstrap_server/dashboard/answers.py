# SPDX-License-Identifier: GPL-2.0-or-later
"""What a browser is answered: a page that runs nothing but the server's own, or another place."""

from collections.abc import Mapping

from aiohttp import web

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.api.problems import headers_of, problem_of
from swarmstrap_server.app import SERVICES
from swarmstrap_server.dashboard.pages import Frame
from swarmstrap_server.dashboard.templating import render

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def html(
    template: str, frame: Frame, values: Mapping[str, object], error: SwarmstrapError | None = None
) -> web.Response:
    """With the status and headers of `error`, where that is why the page is shown."""
    status, more = (problem_of(error).status, headers_of(error)) if error else (200, {})
    response = web.Response(
        text=render(template, frame=frame, **values),
        status=status,
        content_type="text/html",
        headers={**_HEADERS, **more},
    )
    response.enable_compression()
    return response


def see(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place, **_HEADERS})


def bare(request: web.Request) -> Frame:
    """For those who may not see more."""
    return Frame(site=request.app[SERVICES].deployments.site.settings.name, page="")
