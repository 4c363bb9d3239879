# SPDX-License-Identifier: GPL-2.0-or-later
"""A route of the API as a value, and what its handler is given.

A resource is a module with handlers and `ROUTES`; `table.py` lists them all. A handler returns
the value that is to be sent as JSON, of the type that its route names.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from aiohttp import web

from swarmstrap.errors import BadInput
from swarmstrap_server.app import Services
from swarmstrap_server.control.access import Principal
from swarmstrap_server.control.operator_wire import Role

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is below BASE, with `{name}` for a part that varies; `answer` is the type of the JSON,
    None for an empty 204. `body` and `query` are refused where they are None. With `once`, an
    `Idempotency-Key` makes a repeated request get the first one's answer. A `media` other than
    JSON comes from a handler that answers with a response of its own.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    role: Role
    summary: str
    handler: "Handler"
    answer: object
    body: type | None = None
    query: type[msgspec.Struct] | None = None
    status: int = 200
    once: bool = False
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a route by somebody who may make it."""

    request: web.Request
    route: Route
    services: Services
    principal: Principal

    def part(self, name: str) -> str:
        """What stands for `{name}` in the path."""
        return self.request.match_info[name]

    def query(self, kind: type[Q]) -> Q:
        """The route's query; raises BadInput, also for names that `kind` does not have."""
        if kind is not self.route.query:
            raise TypeError(f"{self.route.path} names another query than {kind.__name__}")
        try:
            return msgspec.convert(dict(self.request.query), kind, strict=False)
        except msgspec.ValidationError as error:
            raise BadInput(f"the query of {self.request.path} is wrong: {error}") from error

    async def body(self, kind: type[T]) -> T:
        """The route's body; raises BadInput, also for keys that `kind` does not have."""
        if kind is not self.route.body:
            raise TypeError(f"{self.route.path} names another body than {kind.__name__}")
        try:
            return msgspec.json.decode(await self.request.read(), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"the body for {self.request.path} is wrong: {error}") from error


Handler = Callable[[Call], Awaitable[object]]
