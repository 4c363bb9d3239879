# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes/{node}/why`: what happened to a node, and what to do, in a few lines."""

from swarmstrap_server.api.nodes import known
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.rollouts.why import Why, why


async def explain_node(call: Call) -> Why:
    deployments = call.services.deployments
    name = known(call, deployments.site)
    return why(
        deployments.view(name),
        call.services.rollouts.latest_of(name),
        call.services.reservations.lent.holder(name),
        deployments.store.events(name),
        deployments.clock(),
    )


ROUTES = (
    Route(
        "GET",
        "/nodes/{node}/why",
        "viewer",
        "What happened to a node, and what to do",
        explain_node,
        Why,
    ),
)
