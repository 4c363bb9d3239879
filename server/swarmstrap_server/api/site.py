# SPDX-License-Identifier: GPL-2.0-or-later
"""`/site`: the site in a few names and figures, and what is wrong in its folder."""

import asyncio
from collections import Counter

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.checkup import check_site
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import SiteCheck, SiteSummary
from swarmstrap_server.site.reading import denied


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


async def show_check(call: Call) -> SiteCheck:
    root = call.services.deployments.site.paths.root
    try:
        return await asyncio.to_thread(check_site, root)
    except PermissionError as error:
        raise denied(root, error) from error


ROUTES = (
    Route(
        "GET",
        "/site",
        "viewer",
        "The site, and how many nodes are in each state",
        show_site,
        SiteSummary,
    ),
    Route(
        "GET",
        "/site/check",
        "viewer",
        "What is wrong in the site folder as it lies there now",
        show_check,
        SiteCheck,
    ),
)
