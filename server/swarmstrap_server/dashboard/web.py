# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages on the operator's listener: who may see them, and what each is made of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap_server.api.auth import demand
from swarmstrap_server.api.problems import Anonymous, Forbidden, TooManyTries, problem_of
from swarmstrap_server.app import SERVICES
from swarmstrap_server.control.access import Principal
from swarmstrap_server.control.operator_wire import Role
from swarmstrap_server.dashboard import login
from swarmstrap_server.dashboard.answers import bare, html, see
from swarmstrap_server.dashboard.live import follow
from swarmstrap_server.dashboard.ordering import Wanted, ordering
from swarmstrap_server.dashboard.pages import ACTING, PAGES, Look, Page, frame_of
from swarmstrap_server.dashboard.watch import Watch

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Showing = Callable[[web.Request, Principal], Awaitable[web.Response]]

WATCH = web.AppKey("WATCH", Watch)

_STATIC = Path(__file__).parent / "static"
_LIVE = "/live"


def add_routes(app: web.Application) -> None:
    app[WATCH] = Watch(app[SERVICES].deployments, app[SERVICES].rates)
    app.cleanup_ctx.append(_sampling)
    app.router.add_static("/static", _STATIC)
    login.add_routes(app)
    for page in PAGES:
        app.router.add_get(page.path, _guarded("viewer", _showing(page)))
        if page.parts:
            app.router.add_get(_LIVE + page.path, _streaming(page))
    app.router.add_get("/deploy", _guarded(ACTING, _deploy))
    app.router.add_post("/deploy", _guarded(ACTING, _deploy))


async def _sampling(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[WATCH].sample())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _guarded(role: Role, show: Showing) -> Handler:
    """Strangers are sent to the login; what cannot be shown is said on a page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await show(request, demand(request, role))
        except Anonymous:
            return see(login.LOGIN)
        except TooManyTries as error:
            return login.paused(request, error)
        except SwarmstrapError as error:
            return html("error.html", bare(request), {"problem": problem_of(error)}, error)

    return handle


def _showing(page: Page) -> Showing:
    async def show(request: web.Request, principal: Principal) -> web.Response:
        live = f"{_LIVE}{request.rel_url.raw_path_qs}" if page.parts else ""
        frame = frame_of(request.app[SERVICES], principal, page.path, live)
        return html(page.template, frame, page.values(_look(request)))

    return show


def _streaming(page: Page) -> Handler:
    async def stream(request: web.Request) -> web.StreamResponse:
        principal = demand(request, "viewer")
        look = _look(request)
        page.values(look)  # says first that there is no such thing
        frame = frame_of(look.services, principal, page.path, "")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        # A browser leaves without a word, and whose token is revoked is told nothing more.
        with contextlib.suppress(ConnectionResetError, Anonymous, Forbidden):
            async with contextlib.aclosing(follow(page, frame, look, look.watch)) as messages:
                async for message in messages:
                    demand(request, "viewer", again=True)
                    await response.write(message)
        return response

    return stream


async def _deploy(request: web.Request, principal: Principal) -> web.Response:
    services = request.app[SERVICES]
    given = await request.post() if request.method == "POST" else request.query
    try:
        # A field that was left empty says nothing; all that a form has is text.
        filled = {key: str(value) for key, value in given.items() if value}
        wanted = msgspec.convert(filled, Wanted, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"the form cannot be used: {error}") from error
    frame = frame_of(services, principal, "/deploy", "")
    return html("deploy.html", frame, ordering(services, wanted, principal.name))


def _look(request: web.Request) -> Look:
    part = request.match_info.get("part", "")
    return Look(request.app[SERVICES], request.app[WATCH], part, request.query)
