# SPDX-License-Identifier: GPL-2.0-or-later
"""`/login` and `/logout`: a browser changes a token for a cookie, and ends it. No page is here."""

from aiohttp import web

from swarmstrap_server.api import auth
from swarmstrap_server.api.problems import Anonymous

LOGIN = "/login"
_START = "/"


def add_routes(app: web.Application) -> None:
    app.router.add_post(LOGIN, _log_in)
    app.router.add_post("/logout", _log_out)


async def _log_in(request: web.Request) -> web.Response:
    """A form with `token`; then to the dashboard, or back with `?wrong` for the page to explain."""
    token = (await request.post()).get("token", "")
    response = _see(_START)
    try:
        auth.log_in(request, response, token if isinstance(token, str) else "")
    except Anonymous:
        return _see(f"{LOGIN}?wrong")
    return response


async def _log_out(request: web.Request) -> web.Response:
    response = _see(LOGIN)
    auth.log_out(request, response)
    return response


def _see(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place, "Cache-Control": "no-store"})
