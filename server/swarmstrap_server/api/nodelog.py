# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes/{node}/log`: what a node's agent and kernel wrote, as the node left it here."""

from swarmstrap.wire import NodeLog
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import logs


async def show_log(call: Call) -> NodeLog:
    name = call.part("node")
    found = logs.newest_log(call.services.deployments.store, name)
    if found is None:
        raise NotFound(f"no node {name!r} left a log here", hint="nodes leave theirs at their end")
    return found


ROUTES = (
    Route(
        "GET",
        "/nodes/{node}/log",
        "viewer",
        "The whole log of a node's last deployment that left one",
        show_log,
        NodeLog,
    ),
)
