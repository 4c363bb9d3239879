# SPDX-License-Identifier: GPL-2.0-or-later
"""The CLI's side of the operator API: HTTP over the site's Unix socket."""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import (
    BASE,
    Arm,
    DeploymentsPage,
    Disarm,
    NodesPage,
    NodeView,
    ProblemDetails,
    Record,
    Snapshot,
    Status,
)

T = TypeVar("T")
P = TypeVar("P", NodesPage, DeploymentsPage)
_PAGE = 1000
_SECONDS = 30.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("operator")
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(str(self._path))


class Operator:
    """Raises Unreachable when no server runs for the site, and SwarmstrapError as it refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def nodes(self) -> list[NodeView]:
        return [node for page in self._pages("/nodes", NodesPage) for node in page.items]

    def deployments(self) -> list[Deployment]:
        """Newest first."""
        pages = self._pages("/deployments", DeploymentsPage)
        return [deployment for page in pages for deployment in page.items]

    def status(self) -> Status:
        return self._ask("GET", "/status", Status)

    def arm(self, order: Arm) -> list[Deployment]:
        return self._ask("POST", "/deployments", list[Deployment], order)

    def disarm(self, order: Disarm) -> None:
        self._open("POST", "/disarm", order, _SECONDS).read()

    def stream(self) -> Iterator[Snapshot | Record]:
        """A snapshot, then what happens, until the server ends or cuts the stream.

        No deadline: a quiet site is no error, and a server that ends closes the socket.
        """
        response = self._open("GET", "/stream", None, None)
        kind = ""
        while line := response.readline():
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name == b"event":
                kind = value.decode()
            elif name == b"data" and kind == "snapshot":
                yield msgspec.json.decode(value, type=Snapshot)
            elif name == b"data" and kind == "record":
                yield msgspec.json.decode(value, type=Record)

    def _pages(self, path: str, kind: type[P]) -> Iterator[P]:
        after = ""
        while True:
            page = self._ask("GET", f"{path}?limit={_PAGE}&after={quote(after)}", kind)
            yield page
            after = page.next
            if not after:
                return

    def _ask(self, method: str, path: str, kind: type[T], order: msgspec.Struct | None = None) -> T:
        return msgspec.json.decode(self._open(method, path, order, _SECONDS).read(), type=kind)

    def _open(
        self, method: str, path: str, order: msgspec.Struct | None, timeout: float | None
    ) -> http.client.HTTPResponse:
        connection = _Connection(self._path, timeout)
        try:
            connection.request(method, BASE + path, msgspec.json.encode(order) if order else None)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"no server answers at {self._path}", hint="start it: swarmstrap serve"
            ) from error
        if response.status >= 400:
            raise _refusal(response.read())
        return response


def _refusal(body: bytes) -> SwarmstrapError:
    try:
        problem = msgspec.json.decode(body, type=ProblemDetails)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return SwarmstrapError(
            "the server failed", hint="its log says why; this may be a bug worth reporting"
        )
    return SwarmstrapError(problem.detail, hint=problem.hint)
