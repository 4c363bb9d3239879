# SPDX-License-Identifier: GPL-2.0-or-later
"""`/deployments`: what was armed and what became of it."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm, Disarm


async def list_deployments(call: Call) -> list[Deployment]:
    return call.services.deployments.store.deployments()


async def arm(call: Call) -> list[Deployment]:
    order = await call.body(Arm)
    call.services.publish()
    return call.services.deployments.arm(order)


async def disarm(call: Call) -> None:
    call.services.deployments.disarm((await call.body(Disarm)).nodes)


ROUTES = (
    Route("GET", "/deployments", "viewer", "All deployments", list_deployments, list[Deployment]),
    Route(
        "POST",
        "/deployments",
        "operator",
        "Arm nodes for an image: all of them, or none",
        arm,
        list[Deployment],
        body=Arm,
        status=201,
        once=True,
    ),
    Route("DELETE", "/deployments", "operator", "Take armings back", disarm, None, body=Disarm),
)
