# SPDX-License-Identifier: GPL-2.0-or-later
"""`/webhooks`: who is told of what ends, and whether they were."""

from swarmstrap.errors import BadInput
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control.operator_wire import Delivery, Hook


async def list_webhooks(call: Call) -> list[Hook]:
    return call.services.webhooks.hooks()


async def test_webhook(call: Call) -> Delivery:
    try:
        return await call.services.webhooks.test(call.part("webhook"))
    except BadInput as error:
        raise NotFound(error.message, hint=error.hint) from error


ROUTES = (
    Route(
        "GET",
        "/webhooks",
        "operator",
        "Webhooks, without their secrets, and their last deliveries, try by try",
        list_webhooks,
        list[Hook],
    ),
    Route(
        "POST",
        "/webhooks/{webhook}/test",
        "operator",
        "Send a webhook of the site a trial, once; answers what came of it",
        test_webhook,
        Delivery,
    ),
)
