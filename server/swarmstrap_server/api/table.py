# SPDX-License-Identifier: GPL-2.0-or-later
"""Every route of the API: the router is made from it, and so is the OpenAPI document."""

from swarmstrap_server.api import (
    deployments,
    images,
    names,
    nodelog,
    nodes,
    plan,
    power,
    reference,
    reservations,
    rollouts,
    site,
    status,
    stream,
    tokens,
    webhooks,
    why,
)
from swarmstrap_server.api.route import Route

ROUTES: tuple[Route, ...] = (
    *site.ROUTES,
    *status.ROUTES,
    *nodes.ROUTES,
    *plan.ROUTES,
    *names.ROUTES,
    *nodelog.ROUTES,
    *deployments.ROUTES,
    *rollouts.ROUTES,
    *reservations.ROUTES,
    *power.ROUTES,
    *why.ROUTES,
    *images.ROUTES,
    *stream.ROUTES,
    *webhooks.ROUTES,
    *tokens.ROUTES,
    *reference.ROUTES,
)
