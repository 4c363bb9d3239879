# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes/{node}/why`: what happened to a node, and what to do, in a few lines."""

from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import views
from swarmstrap_server.rollouts.why import Why, why
from swarmstrap_server.site.yamlfile import nearest


async def explain_node(call: Call) -> Why:
    name, deployments = call.part("node"), call.services.deployments
    names = views.node_names(deployments.site, deployments.store)
    if name not in names:
        raise NotFound(f"there is no node {name!r}{nearest(name, names)}", hint="see /nodes")
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
