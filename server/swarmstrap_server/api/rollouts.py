# SPDX-License-Identifier: GPL-2.0-or-later
"""`/rollouts`: one image to many nodes, from the order to the end of the last."""

from typing import Annotated

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.rollouts.values import Order, Rollout, RolloutsPage


class RolloutsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`after` is the `next` of the page before."""

    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


async def list_rollouts(call: Call) -> RolloutsPage:
    query, rollouts = call.query(RolloutsQuery), call.services.rollouts
    if query.after:
        rollouts.rollout(query.after)  # refuses one to go on from that is none
    found = rollouts.summaries(query.limit + 1, query.after)
    shown = tuple(found[: query.limit])
    return RolloutsPage(items=shown, next=shown[-1].id if len(found) > len(shown) else "")


async def show_rollout(call: Call) -> Rollout:
    return _known(call)


async def start_rollout(call: Call) -> Rollout:
    order = await call.body(Order)
    call.services.publish()
    return call.services.rollouts.start(order, call.principal.name)


async def plan_rollout(call: Call) -> Rollout:
    return call.services.rollouts.plan(await call.body(Order), call.principal.name)


async def cancel_rollout(call: Call) -> Rollout:
    return call.services.rollouts.cancel(_known(call).id)


async def retry_rollout(call: Call) -> Rollout:
    return call.services.rollouts.retry(_known(call).id, call.principal.name)


def _known(call: Call) -> Rollout:
    try:
        return call.services.rollouts.rollout(call.part("rollout"))
    except BadInput as error:
        raise NotFound(error.message, hint=error.hint) from error


ROUTES = (
    Route(
        "GET",
        "/rollouts",
        "viewer",
        "Rollouts, newest first, without their nodes",
        list_rollouts,
        RolloutsPage,
        query=RolloutsQuery,
    ),
    Route("GET", "/rollouts/{rollout}", "viewer", "One, node by node", show_rollout, Rollout),
    Route(
        "POST",
        "/rollouts",
        "operator",
        "Deploy an image to nodes: arm them, switch them on, follow them",
        start_rollout,
        Rollout,
        body=Order,
        status=201,
        once=True,
    ),
    Route(
        "POST",
        "/rollouts/plan",
        "operator",
        "What an order would do, with nothing done",
        plan_rollout,
        Rollout,
        body=Order,
    ),
    Route(
        "POST",
        "/rollouts/{rollout}/cancel",
        "operator",
        "Begin with no further node; those that deploy come to their end",
        cancel_rollout,
        Rollout,
    ),
    Route(
        "POST",
        "/rollouts/{rollout}/retry",
        "operator",
        "A new rollout of the nodes that failed",
        retry_rollout,
        Rollout,
        status=201,
        once=True,
    ),
)
