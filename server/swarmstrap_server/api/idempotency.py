# SPDX-License-Identifier: GPL-2.0-or-later
"""`Idempotency-Key`: a request that is sent again, because its answer was lost, is done once."""

import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from swarmstrap.errors import BadInput, Refused
from swarmstrap_server.api.problems import Unusable
from swarmstrap_server.api.route import JSON, Call

HEADER = "Idempotency-Key"
KEEP_SECONDS = 86400.0
_LONGEST = 255
# Requests that are at work, by principal and key.
UNDER_WAY = web.AppKey("UNDER_WAY", set[tuple[str, str]])

Answer = Callable[[Call], Awaitable[web.StreamResponse]]


async def answered_once(call: Call, answer: Answer) -> web.StreamResponse:
    """As `answer` has it, or as it had it the first time; only success is kept, for a day.

    Raises Unusable for a key that came with another request, Refused while the first is at work.
    """
    key = call.request.headers.get(HEADER)
    if key is None:
        return await answer(call)
    if not 0 < len(key) <= _LONGEST:
        raise BadInput(f"{HEADER} has 1 to {_LONGEST} characters")
    given = await _digest(call.request)
    kept = _kept(call, key, given)
    if kept is not None:
        return kept
    under_way = call.request.app[UNDER_WAY]
    mine = (call.principal.name, key)
    if mine in under_way:
        raise Refused("the first request with this key is at work", hint="ask again in a moment")
    under_way.add(mine)
    try:
        response = await answer(call)
    finally:
        under_way.discard(mine)
    _keep(call, key, given, response)
    return response


async def _digest(request: web.Request) -> bytes:
    head = f"{request.method} {request.path_qs}\n".encode()
    return hashlib.sha256(head + await request.read()).digest()


def _kept(call: Call, key: str, given: bytes) -> web.Response | None:
    store = call.services.deployments.store
    oldest = call.services.deployments.clock() - KEEP_SECONDS
    store.execute("DELETE FROM answers WHERE made < ?", oldest)
    query = "SELECT request, status, body FROM answers WHERE operator = ? AND key = ?"
    row = store.execute(query, call.principal.name, key).fetchone()
    if row is None:
        return None
    request, status, body = row
    if request != given:
        raise Unusable(
            f"this {HEADER} came with another request before", hint="make a new key for each"
        )
    headers = {"Idempotency-Replayed": "true"}
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)


def _keep(call: Call, key: str, given: bytes, response: web.StreamResponse) -> None:
    if not (isinstance(response, web.Response) and isinstance(response.body, bytes)):
        return
    call.services.deployments.store.execute(
        "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)",
        call.principal.name,
        key,
        given,
        response.status,
        response.body,
        call.services.deployments.clock(),
    )
