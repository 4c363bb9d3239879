# SPDX-License-Identifier: GPL-2.0-or-later
"""`/login` and `/logout`: a browser changes a token for a cookie, and ends it."""

from aiohttp import web

from swarmstrap_server.api import auth
from swarmstrap_server.api.problems import Anonymous, TooManyTries
from swarmstrap_server.dashboard.answers import bare, html, see

LOGIN = "/login"
_START = "/"


def add_routes(app: web.Application) -> None:
    app.router.add_get(LOGIN, _login)
    app.router.add_post(LOGIN, _log_in)
    app.router.add_post("/logout", _log_out)


def paused(request: web.Request, error: TooManyTries) -> web.Response:
    """The login's page, which says when to try again."""
    unit = "second" if error.seconds == 1 else "seconds"
    problem = (
        "Too many wrong tokens came from this address: "
        f"try again in {error.seconds} {unit}, no token is looked at before."
    )
    return html("login.html", bare(request), {"problem": problem}, error)


async def _login(request: web.Request) -> web.Response:
    problem = "That is no token of this site, or not any more." if "wrong" in request.query else ""
    return html("login.html", bare(request), {"problem": problem})


async def _log_in(request: web.Request) -> web.Response:
    """A form with `token`; then to the dashboard, or back with `?wrong` for the page to explain."""
    token = (await request.post()).get("token", "")
    response = see(_START)
    try:
        auth.log_in(request, response, token if isinstance(token, str) else "")
    except Anonymous:
        return see(f"{LOGIN}?wrong")
    except TooManyTries as error:
        return paused(request, error)
    return response


async def _log_out(request: web.Request) -> web.Response:
    response = see(LOGIN)
    auth.log_out(request, response)
    return response
