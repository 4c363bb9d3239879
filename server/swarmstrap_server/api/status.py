# SPDX-License-Identifier: GPL-2.0-or-later
"""`/status`: what the server does now, and how near its runs came to their limit."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.app import Services
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import Status


async def status(call: Call) -> Status:
    return status_of(call.services)


def status_of(services: Services) -> Status:
    site = services.deployments.site
    return Status(
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


ROUTES = (Route("GET", "/status", "viewer", "The server, its seeder and its runs", status, Status),)
