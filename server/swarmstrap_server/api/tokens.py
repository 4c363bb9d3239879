# SPDX-License-Identifier: GPL-2.0-or-later
"""`/tokens`: who may ask from other machines, and as what."""

from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control.operator_wire import MadeToken, NewToken, Token


async def list_tokens(call: Call) -> list[Token]:
    return call.services.access.tokens()


async def add_token(call: Call) -> MadeToken:
    order = await call.body(NewToken)
    now = call.services.deployments.clock()
    expires = None if order.days is None else now + order.days * 86400.0
    secret = call.services.access.add(order.name, order.role, expires)
    return MadeToken(token=secret)


async def revoke_token(call: Call) -> None:
    name = call.part("token")
    if not call.services.access.revoke(name):
        raise NotFound(f"there is no token {name}", hint="swarmstrap token ls")


ROUTES = (
    Route("GET", "/tokens", "admin", "All tokens, without their secrets", list_tokens, list[Token]),
    Route(
        "POST",
        "/tokens",
        "admin",
        "A new token, shown this once",
        add_token,
        MadeToken,
        body=NewToken,
        status=201,
    ),
    Route(
        "DELETE",
        "/tokens/{token}",
        "admin",
        "Revoke a token and end its logins",
        revoke_token,
        None,
    ),
)
