# SPDX-License-Identifier: GPL-2.0-or-later
"""What the three listeners share, and how a refusal becomes an answer."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput, Refused, SwarmstrapError, Untrusted
from swarmstrap.wire import Problem
from swarmstrap_server.control.access import Access
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.tries import Tries
from swarmstrap_server.dashboard.rates import Rates
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.metrics import Metrics
from swarmstrap_server.netboot.sharing import Sharing
from swarmstrap_server.power.switchboard import Switchboard
from swarmstrap_server.rollouts.reservations import Reservations
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.swarm.seeding import Seeding, offer_of
from swarmstrap_server.swarm.tracker import Tracker
from swarmstrap_server.upkeep import Upkeep
from swarmstrap_server.webhooks import Webhooks

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Inventories of machines with hundreds of disks, and event batches after an outage.
MAX_BODY = 16 << 20


@dataclass(slots=True)
class Services:
    """One server's parts. `published` maps an infohash to its image, as last read from disk;
    `members` maps the address from which a node showed its session to the node's name.
    """

    access: Access
    deployments: Deployments
    images: ImageStore
    tracker: Tracker
    seeding: Seeding
    published: dict[str, Image]
    sharing: Sharing
    switchboard: Switchboard
    rollouts: Rollouts
    reservations: Reservations
    metrics: Metrics
    webhooks: Webhooks
    upkeep: Upkeep
    members: dict[str, str]
    rates: Rates = field(default_factory=Rates)
    tries: Tries = field(default_factory=lambda: Tries(time.monotonic))

    def unlimited_seeders(self, infohash: str) -> int:
        """How many of the site's seeders serve this image now, but for a server with a limit."""
        limited = self.deployments.site.settings.swarm.seeder_rate
        own = self.seeding.pid is not None and not limited
        return own + self.tracker.further_seeders(infohash)

    def publish(self) -> None:
        """Offer to the swarm what lies in the image store now, but for what is broken."""
        found = self.images.scan()
        for error in found.broken:
            log.error("left out of the swarm, and not to be deployed: %s", error)
        self.published = {image.manifest.infohash: image for image in found.images}
        self.tracker.track(self.published)
        self.seeding.offer([offer_of(image) for image in self.published.values()])


SERVICES = web.AppKey("SERVICES", Services)


def new_app(services: Services) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY, middlewares=[timed, refusals])
    app[SERVICES] = services
    return app


def answer(value: msgspec.Struct | Sequence[msgspec.Struct], *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


async def body(request: web.Request, kind: type[T]) -> T:
    """The request's JSON as `kind`; raises BadInput."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{request.path} does not understand this: {error}") from error


def bearer(request: web.Request) -> str:
    """The credential of an `Authorization: Bearer` header; raises Untrusted without one."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not secret:
        raise Untrusted(f"{request.path} needs a bearer")
    return secret


@web.middleware
async def timed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counted by the route's pattern: what varies in a path would be a series each time."""
    began = time.perf_counter()
    response = await handler(request)
    if not isinstance(response, web.Response):
        return response  # a stream lasts as long as its reader
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "none"
    seconds = time.perf_counter() - began
    request.app[SERVICES].metrics.answered(request.method, route, response.status, seconds)
    return response


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of ours are answered as a Problem, with a status that says who has to change."""
    try:
        return await handler(request)
    except SwarmstrapError as error:
        log.info("%s %s from %s: %s", request.method, request.path, request.remote, error)
        problem = Problem(error=error.message, hint=error.hint)
        return answer(problem, status=_status(error))


def _status(error: SwarmstrapError) -> int:
    match error:
        case BadInput():
            return 400
        case Untrusted():
            return 403
        case Refused():
            return 409
        case _:
            return 500
