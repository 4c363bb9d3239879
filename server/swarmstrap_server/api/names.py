# SPDX-License-Identifier: GPL-2.0-or-later
"""`/names`: machines that no file has, and what they are called."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import naming
from swarmstrap_server.control.operator_wire import Named, Naming, NodeView


async def list_names(call: Call) -> list[Named]:
    return naming.names(call.services.deployments.store)


async def name_node(call: Call) -> NodeView:
    wish = await call.body(Naming)
    deployments = call.services.deployments
    deployments.roster.name(call.part("node"), wish)
    return deployments.view(wish.name)


ROUTES = (
    Route(
        "GET", "/names", "viewer", "Machines that have a name in no file", list_names, list[Named]
    ),
    Route(
        "POST",
        "/nodes/{node}/name",
        "operator",
        "Name a machine that no file has, and put it into groups",
        name_node,
        NodeView,
        body=Naming,
    ),
)
