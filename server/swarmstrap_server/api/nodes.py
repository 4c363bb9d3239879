# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes`: what the site says of them and what was seen of them."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import NodeView


async def list_nodes(call: Call) -> tuple[NodeView, ...]:
    deployments = call.services.deployments
    return views.node_views(deployments.site, deployments.store)


ROUTES = (Route("GET", "/nodes", "viewer", "All nodes, by name", list_nodes, tuple[NodeView, ...]),)
