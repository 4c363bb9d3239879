# SPDX-License-Identifier: GPL-2.0-or-later
"""The node API over TLS: the routes of `swarmstrap.wire`. docs/node-api.md shows each with curl."""

import time

from aiohttp import web

from swarmstrap import wire
from swarmstrap_server.app import SERVICES, Services, answer, bearer, body, new_app
from swarmstrap_server.control import logs
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.release import Need, need_of, release

# While more nodes than that are at work, one look at all of them does for so many seconds: all ask.
_FEW = 100
_OLDEST = 1.0


class Needs:
    """What each swarm needs, looked up once for many who ask."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Need]] = {}

    def of(self, infohash: str, deployments: Deployments) -> Need:
        active, now = deployments.store.active(), time.monotonic()
        at, need = self._found.get(infohash, (0.0, None))
        if need is None or len(active) <= _FEW or now - at > _OLDEST:
            need = need_of(infohash, active, deployments.clock(), deployments.site.rack_of)
            self._found = {**self._still(now), infohash: (now, need)}
        return need

    def _still(self, now: float) -> dict[str, tuple[float, Need]]:
        return {key: found for key, found in self._found.items() if now - found[0] < _OLDEST}


NEEDS = web.AppKey("NEEDS", Needs)


def init_app(services: Services) -> web.Application:
    app = new_app(services)
    app[NEEDS] = Needs()
    app.router.add_post(wire.REGISTER, _register)
    app.router.add_post(wire.JOB, _job)
    app.router.add_post(wire.EVENTS, _events)
    app.router.add_post(wire.LOG, _log)
    app.router.add_post(wire.PLAN, _plan)
    app.router.add_post(wire.SEEDING, _seeding)
    app.router.add_post(wire.PASSING, _passing)
    return app


async def _register(request: web.Request) -> web.Response:
    register = await body(request, wire.Register)
    deployments = request.app[SERVICES].deployments
    return answer(deployments.register(register, request.remote or ""))


async def _job(request: web.Request) -> web.Response:
    token = bearer(request)
    claim = await body(request, wire.Claim)
    services = request.app[SERVICES]
    job = services.deployments.take_job(token, claim.claim)
    services.members[request.remote or ""] = job.node
    return answer(job)


async def _events(request: web.Request) -> web.Response:
    deployment = _session(request)
    batch = await body(request, wire.Events)
    deployments = request.app[SERVICES].deployments
    # Read again: another batch may have come in while this one was on the wire.
    feed = deployments.feed
    after = feed.take(deployments.current(deployment), batch, deployments.clock())
    return answer(wire.Taken(sequence=max(0, after.sequence), pause=feed.pause))


async def _log(request: web.Request) -> web.Response:
    deployment = _session(request)
    kept = await body(request, wire.NodeLog)
    deployments = request.app[SERVICES].deployments
    logs.keep(deployments.store, deployment.id, kept, deployments.clock())
    return web.Response(status=204)


async def _plan(request: web.Request) -> web.Response:
    deployment = _session(request)
    report = await body(request, wire.PlanReport)
    request.app[SERVICES].deployments.store.save_plan(deployment.id, report)
    return web.Response(status=204)


async def _seeding(request: web.Request) -> web.Response:
    session = _session(request)
    seeding = await body(request, wire.Seeding)
    services = request.app[SERVICES]
    deployments = services.deployments
    mine = deployments.seeds(deployments.current(session), seeding.uploaded)
    need = request.app[NEEDS].of(mine.infohash, deployments)
    seeders = services.unlimited_seeders(mine.infohash)
    rack = deployments.site.rack_of(mine.node)
    return answer(release(mine, need, seeders=seeders, rack=rack))


async def _passing(request: web.Request) -> web.Response:
    node = _session(request).node
    passing = await body(request, wire.Passing)
    sharing = request.app[SERVICES].sharing
    return answer(await sharing.heard(node, request.remote or "", passing))


def _session(request: web.Request) -> Deployment:
    services = request.app[SERVICES]
    deployment = services.deployments.session(bearer(request))
    services.members[request.remote or ""] = deployment.node
    return deployment
