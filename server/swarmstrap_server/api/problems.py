# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error of the API is an `application/problem+json` of RFC 9457; `hint` is our extension."""

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput, Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap_server.control.operator_wire import ProblemDetails

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEDIA = "application/problem+json"


class Anonymous(Untrusted):
    """Nobody who is known here asks."""


class Forbidden(Refused):
    """Who asks is known, and may not."""


class NotFound(BadInput):
    """The path names something that does not exist."""


class Unusable(BadInput):
    """The request is well formed and contradicts an earlier one."""


class TooManyTries(SwarmstrapError):
    """Wrong tokens came from the same address; the next is looked at in so many `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(
            f"too many wrong tokens from this address: the next is looked at in {self.seconds} s",
            hint="wait, and see swarmstrap token ls",
        )


# The first that fits counts. Each has an anchor in the page at /api/.
KINDS: tuple[tuple[type[SwarmstrapError], HTTPStatus, str], ...] = (
    (Anonymous, HTTPStatus.UNAUTHORIZED, "nobody known asks"),
    (TooManyTries, HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens"),
    (Forbidden, HTTPStatus.FORBIDDEN, "the role does not allow it"),
    (NotFound, HTTPStatus.NOT_FOUND, "there is no such thing"),
    (Unusable, HTTPStatus.UNPROCESSABLE_ENTITY, "the request contradicts an earlier one"),
    (BadInput, HTTPStatus.BAD_REQUEST, "the request cannot be used as it stands"),
    (Untrusted, HTTPStatus.CONFLICT, "a signature, digest or certificate does not hold"),
    (Refused, HTTPStatus.CONFLICT, "refused in the present state"),
    (Unreachable, HTTPStatus.SERVICE_UNAVAILABLE, "something else did not answer"),
    (SwarmstrapError, HTTPStatus.INTERNAL_SERVER_ERROR, "it did not work"),
)


def anchor(kind: type[SwarmstrapError]) -> str:
    return f"/api/#problem-{kind.__name__.lower()}"


def problem_of(error: SwarmstrapError) -> ProblemDetails:
    kind, status, title = next(row for row in KINDS if isinstance(error, row[0]))
    return ProblemDetails(
        type=anchor(kind), title=title, status=status, detail=error.message, hint=error.hint
    )


def headers_of(error: SwarmstrapError) -> dict[str, str]:
    """What HTTP wants to be said of an error beside its status."""
    match error:
        case Anonymous():
            return {"WWW-Authenticate": 'Bearer realm="swarmstrap"'}
        case TooManyTries():
            return {"Retry-After": str(error.seconds)}
        case _:
            return {}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered as a problem; what nobody foresaw is also logged."""
    try:
        return await handler(request)
    except SwarmstrapError as error:
        log.info("%s %s from %s: %s", request.method, request.path, request.remote, error)
        return _answer(problem_of(error), headers_of(error))
    except web.HTTPError as error:  # of aiohttp: no such path, method not allowed, too large
        return _plain(HTTPStatus(error.status), f"{request.method} {request.path}", error)
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return _plain(status, "the server failed; its log says why", error)


def _plain(status: HTTPStatus, detail: str, error: Exception) -> web.Response:
    problem = ProblemDetails(type="about:blank", title=status.phrase, status=status, detail=detail)
    headers = {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    return _answer(problem, headers)


def _answer(problem: ProblemDetails, headers: dict[str, str]) -> web.Response:
    body = msgspec.json.encode(problem)
    return web.Response(body=body, status=problem.status, content_type=MEDIA, headers=headers)
