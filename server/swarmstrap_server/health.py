# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this server answers, and whether it can do its work: for monitors and load balancers.

Anybody may ask, so no answer names a path, a node or an address.
"""

from collections.abc import Iterator

import msgspec
from aiohttp import web

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.app import SERVICES, Services

HEALTHZ, READYZ = "/healthz", "/readyz"
_FRESH = {"Cache-Control": "no-store"}
# The seeder reports every second.
_SEEDER_SECONDS = 10.0


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`reasons` are lines for a person, and empty for a server that is ready."""

    ready: bool
    reasons: tuple[str, ...] = ()


async def healthz(request: web.Request) -> web.Response:
    """200 as long as the process answers at all."""
    return web.Response(text="ok\n", headers=_FRESH)


async def readyz(request: web.Request) -> web.Response:
    """200 or 503, with a Readiness."""
    reasons = tuple(_reasons(request.app[SERVICES]))
    return web.Response(
        status=503 if reasons else 200,
        body=msgspec.json.encode(Readiness(ready=not reasons, reasons=reasons)),
        content_type="application/json",
        headers=_FRESH,
    )


def _reasons(services: Services) -> Iterator[str]:
    deployments = services.deployments
    try:
        deployments.store.prove_writable()
    except SwarmstrapError:
        yield "the database cannot be written"
    if services.seeding.silent > _SEEDER_SECONDS:
        yield "the seeder does not run"
    if not deployments.roster.site_is_good:
        yield "the site folder has mistakes, see swarmstrap check; the one of before is in use"
    paths = deployments.site.paths
    for path in (paths.kernel, paths.initramfs):
        if not path.is_file():
            yield f"there is no {path.name}, see swarmstrap initramfs"
