# SPDX-License-Identifier: GPL-2.0-or-later
"""`/webhooks`: who is told of what ends, and whether they were."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control.operator_wire import Hook


async def list_webhooks(call: Call) -> list[Hook]:
    return call.services.webhooks.hooks()


ROUTES = (
    Route(
        "GET",
        "/webhooks",
        "operator",
        "Webhooks, without their secrets, and their last deliveries",
        list_webhooks,
        list[Hook],
    ),
)
