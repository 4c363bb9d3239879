# SPDX-License-Identifier: GPL-2.0-or-later
"""`/site`: the site in a few names and figures."""

from collections import Counter

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import SiteSummary


async def show_site(call: Call) -> SiteSummary:
    deployments = call.services.deployments
    site = deployments.site
    nodes = views.node_views(site, deployments.store)
    return SiteSummary(
        name=site.settings.name,
        boot_url=site.boot_url,
        node_url=site.node_url,
        operator_url=site.operator_url,
        layouts=tuple(sorted(site.layouts)),
        hooks=tuple(hook.name for hook in site.hooks),
        nodes=len(nodes),
        states=dict(Counter(node.state for node in nodes)),
    )


ROUTES = (
    Route(
        "GET",
        "/site",
        "viewer",
        "The site, and how many nodes are in each state",
        show_site,
        SiteSummary,
    ),
)
