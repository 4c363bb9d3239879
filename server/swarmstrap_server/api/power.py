# SPDX-License-Identifier: GPL-2.0-or-later
"""`/power`: nodes switched on and off, and what their BMCs say."""

import asyncio

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.power.orders import PowerOrder, PowerResult


async def switch_nodes(call: Call) -> list[PowerResult]:
    order = await call.body(PowerOrder)
    deployments, switchboard = call.services.deployments, call.services.switchboard
    nodes = deployments.roster.targets(order.nodes)
    results = await asyncio.gather(*(switchboard.carry_out(order, node) for node in nodes))
    for result in results if order.action != "status" else ():
        said = f"power {order.action} by {call.principal.name}: {result.reason or 'done'}"
        deployments.feed.note(
            result.node,
            "power",
            said,
            deployments.clock(),
            failed=bool(result.reason),
            hint=result.hint,
        )
    return results


ROUTES = (
    Route(
        "POST",
        "/power",
        "operator",
        "Switch nodes, or ask their state; answers when all have done it",
        switch_nodes,
        list[PowerResult],
        body=PowerOrder,
    ),
)
