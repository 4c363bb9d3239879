# SPDX-License-Identifier: GPL-2.0-or-later
"""Every route of the API: the router is made from it, and so is the OpenAPI document."""

from swarmstrap_server.api import deployments, nodes, reference, status, stream, tokens
from swarmstrap_server.api.route import Route

ROUTES: tuple[Route, ...] = (
    *status.ROUTES,
    *nodes.ROUTES,
    *deployments.ROUTES,
    *stream.ROUTES,
    *tokens.ROUTES,
    *reference.ROUTES,
)
