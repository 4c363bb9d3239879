# SPDX-License-Identifier: GPL-2.0-or-later
"""`/deployments`: what was armed and what became of it."""

from typing import Annotated

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import history
from swarmstrap_server.control.nodes import Deployment, DeploymentState
from swarmstrap_server.control.operator_wire import Arm, DeploymentsPage, Disarm


class DeploymentsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`after` is the `next` of the page before."""

    node: str = ""
    state: DeploymentState | None = None
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


async def list_deployments(call: Call) -> DeploymentsPage:
    query, store = call.query(DeploymentsQuery), call.services.deployments.store
    last = store.deployment(query.after) if query.after else None
    if query.after and last is None:
        raise BadInput(f"there is no deployment {query.after} to go on from")
    found = history.deployments_before(
        store, last, query.limit + 1, node=query.node, state=query.state
    )
    shown = tuple(found[: query.limit])
    return DeploymentsPage(items=shown, next=shown[-1].id if len(found) > len(shown) else "")


async def show_deployment(call: Call) -> Deployment:
    key = call.part("deployment")
    found = call.services.deployments.store.deployment(key)
    if found is None:
        raise NotFound(f"there is no deployment {key}", hint="see /deployments")
    return found


async def arm(call: Call) -> list[Deployment]:
    order = await call.body(Arm)
    services, by = call.services, call.principal.name
    services.publish()
    services.deployments.roster.reload()
    services.reservations.lent.check_free(services.deployments.roster.targets(order.nodes), by)
    return services.deployments.arm(order, by=by)


async def disarm(call: Call) -> None:
    call.services.deployments.disarm((await call.body(Disarm)).nodes)


ROUTES = (
    Route(
        "GET",
        "/deployments",
        "viewer",
        "Deployments, newest first",
        list_deployments,
        DeploymentsPage,
        query=DeploymentsQuery,
    ),
    Route(
        "GET",
        "/deployments/{deployment}",
        "viewer",
        "One deployment",
        show_deployment,
        Deployment,
    ),
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
    Route("POST", "/disarm", "operator", "Take armings back", disarm, None, body=Disarm),
)
