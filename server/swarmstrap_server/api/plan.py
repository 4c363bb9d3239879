# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes/{node}/plan`: what a deployment would do to a node, by the site folder as it is now."""

import asyncio

from swarmstrap_server.api.nodes import known
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control.naming import with_names
from swarmstrap_server.control.operator_wire import NodePlan, PlanWish
from swarmstrap_server.control.planning import plan_node, subject_of
from swarmstrap_server.site.reading import read_site


async def show_plan(call: Call) -> NodePlan:
    wish, deployments = call.query(PlanWish), call.services.deployments
    files = await asyncio.to_thread(read_site, deployments.site.paths.root)
    # The database is read here: its connection is this thread's.
    site = with_names(files, deployments.store)
    subject = subject_of(deployments.store, known(call, site))
    now = deployments.clock()
    return await asyncio.to_thread(plan_node, site, call.services.images, subject, wish, now)


ROUTES = (
    Route(
        "GET",
        "/nodes/{node}/plan",
        "viewer",
        "What a deployment would do to a node, or why it could not",
        show_plan,
        NodePlan,
        query=PlanWish,
    ),
)
