# SPDX-License-Identifier: GPL-2.0-or-later
"""The CLI's side of the API: over the site's Unix socket, or over HTTPS from elsewhere."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from swarmstrap.errors import BadInput, Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.wire import NodeLog, Unheard
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import (
    BASE,
    Added,
    Arm,
    Delivery,
    DeploymentsPage,
    Disarm,
    Hook,
    MadeToken,
    Named,
    Naming,
    NewToken,
    NodeDocument,
    NodePlan,
    NodesPage,
    NodeView,
    PlanWish,
    ProblemDetails,
    Record,
    SiteCheck,
    Snapshot,
    Status,
    Token,
)
from swarmstrap_server.images.listing import Listed
from swarmstrap_server.power.orders import PowerOrder, PowerResult
from swarmstrap_server.rollouts.values import (
    NewReservation,
    Order,
    Reservation,
    Rollout,
    RolloutsPage,
    RolloutSummary,
)
from swarmstrap_server.rollouts.why import Why

T = TypeVar("T")
P = TypeVar("P", NodesPage, DeploymentsPage)
_PAGE = 1000
_SECONDS = 30.0
_POWER_SECONDS = 600.0
# What a refusal is here; the server's table has the other direction.
_KINDS: dict[int, type[SwarmstrapError]] = {
    400: BadInput,
    401: Untrusted,
    403: Refused,
    404: BadInput,
    409: Refused,
    422: BadInput,
    429: Unreachable,
    503: Unreachable,
}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("operator")
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class Remote:
    """A server elsewhere: `url` as in https://192.0.2.1:8444, `ca` its site's ca.crt, or None for
    the certificates that this system trusts.
    """

    url: str
    token: str
    ca: Path | None = None


class Operator:
    """`server` is a socket's path or a Remote. Raises Unreachable when none answers there, and
    SwarmstrapError as it refuses.
    """

    def __init__(self, server: Path | Remote) -> None:
        self._server = server

    def nodes(self) -> list[NodeView]:
        return [node for page in self._pages("/nodes", NodesPage) for node in page.items]

    def deployments(self) -> list[Deployment]:
        """Newest first."""
        pages = self._pages("/deployments", DeploymentsPage)
        return [deployment for page in pages for deployment in page.items]

    def status(self) -> Status:
        return self._ask("GET", "/status", Status)

    def check(self) -> SiteCheck:
        """The site folder of the server, as it lies there now."""
        return self._ask("GET", "/site/check", SiteCheck)

    def images(self) -> list[Listed]:
        """Those that can be used, by name, oldest version first."""
        return self._ask("GET", "/images", list[Listed])

    def image(self, name: str, version: str | None) -> Listed:
        """By version or tag, without either the latest."""
        below = "" if version is None else f"/{quote(version, safe='')}"
        return self._ask("GET", f"/images/{quote(name, safe='')}{below}", Listed)

    def arm(self, order: Arm) -> list[Deployment]:
        return self._ask("POST", "/deployments", list[Deployment], order)

    def disarm(self, order: Disarm) -> None:
        self._open("POST", "/disarm", order, _SECONDS).read()

    def node(self, name: str) -> NodeDocument:
        return self._ask("GET", f"/nodes/{quote(name, safe='')}", NodeDocument)

    def plan(self, node: str, wish: PlanWish) -> NodePlan:
        said = {word: value for word, value in msgspec.structs.asdict(wish).items() if value}
        return self._ask("GET", f"/nodes/{quote(node, safe='')}/plan?{urlencode(said)}", NodePlan)

    def node_log(self, name: str) -> NodeLog:
        return self._ask("GET", f"/nodes/{quote(name, safe='')}/log", NodeLog)

    def add_events(self, name: str, told: Unheard) -> Added:
        return self._ask("POST", f"/nodes/{quote(name, safe='')}/events", Added, told)

    def names(self) -> list[Named]:
        """Of machines that no file has."""
        return self._ask("GET", "/names", list[Named])

    def name_node(self, name: str, wish: Naming) -> NodeView:
        return self._ask("POST", f"/nodes/{quote(name, safe='')}/name", NodeView, wish)

    def why(self, node: str) -> Why:
        return self._ask("GET", f"/nodes/{quote(node, safe='')}/why", Why)

    def rollouts(self, limit: int) -> tuple[RolloutSummary, ...]:
        """The newest, newest first."""
        return self._ask("GET", f"/rollouts?limit={limit}", RolloutsPage).items

    def rollout(self, key: str) -> Rollout:
        return self._ask("GET", f"/rollouts/{quote(key, safe='')}", Rollout)

    def deploy(self, order: Order) -> Rollout:
        return self._ask("POST", "/rollouts", Rollout, order)

    def plan_rollout(self, order: Order) -> Rollout:
        return self._ask("POST", "/rollouts/plan", Rollout, order)

    def cancel(self, key: str) -> Rollout:
        return self._ask("POST", f"/rollouts/{quote(key, safe='')}/cancel", Rollout)

    def retry(self, key: str) -> Rollout:
        return self._ask("POST", f"/rollouts/{quote(key, safe='')}/retry", Rollout)

    def reservations(self) -> list[Reservation]:
        """Newest first."""
        return self._ask("GET", "/reservations", list[Reservation])

    def reserve(self, order: NewReservation) -> Reservation:
        return self._ask("POST", "/reservations", Reservation, order)

    def end_reservation(self, key: str) -> Reservation:
        return self._ask("POST", f"/reservations/{quote(key, safe='')}/end", Reservation)

    def webhooks(self) -> list[Hook]:
        return self._ask("GET", "/webhooks", list[Hook])

    def test_webhook(self, name: str) -> Delivery:
        """Waits as long as the hook may take."""
        return self._ask("POST", f"/webhooks/{quote(name, safe='')}/test", Delivery)

    def power(self, order: PowerOrder) -> list[PowerResult]:
        """Waits as long as machines may take."""
        response = self._open("POST", "/power", order, _POWER_SECONDS)
        return msgspec.json.decode(response.read(), type=list[PowerResult])

    def tokens(self) -> list[Token]:
        return self._ask("GET", "/tokens", list[Token])

    def add_token(self, order: NewToken) -> str:
        """The secret, which nobody is shown again."""
        return self._ask("POST", "/tokens", MadeToken, order).token

    def revoke_token(self, name: str) -> None:
        self._open("DELETE", f"/tokens/{quote(name, safe='')}", None, _SECONDS).read()

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
        content = msgspec.json.encode(order) if order else None
        headers = {"Content-Type": "application/json"} if order else {}
        connection: http.client.HTTPConnection
        if isinstance(self._server, Remote):
            connection = _secure(self._server, timeout)
            headers["Authorization"] = f"Bearer {self._server.token}"
            where, hint = self._server.url, "see that it runs there, and its ports.operator"
        else:
            connection = _Connection(self._server, timeout)
            where, hint = str(self._server), "start it: swarmstrap serve"
        try:
            connection.request(method, BASE + path, content, headers)
            response = connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(
                f"{where} is not the server that it should be: {error.verify_message}",
                hint="say --ca FILE, with keys/ca.crt of its site",
            ) from error
        except PermissionError as error:
            raise BadInput(
                f"not allowed to speak to the server at {where}",
                hint="be root, or say --server URL and --token-file FILE",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"no server answers at {where}", hint=hint) from error
        if response.status >= 400:
            raise _refusal(response.read())
        return response


def _secure(server: Remote, timeout: float | None) -> http.client.HTTPSConnection:
    try:
        parts = urlsplit(server.url)
        port = parts.port
    except ValueError as error:
        raise BadInput(f"{server.url} is not a URL: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
        raise BadInput(f"{server.url} is not a server", hint="as in https://192.0.2.1:8444")
    try:
        trusting = ssl.create_default_context(cafile=server.ca)
    except OSError as error:
        raise BadInput(f"cannot read certificates in {server.ca}: {error}") from error
    return http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=trusting)


def _refusal(body: bytes) -> SwarmstrapError:
    try:
        problem = msgspec.json.decode(body, type=ProblemDetails)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return SwarmstrapError(
            "the server failed", hint="its log says why; this may be a bug worth reporting"
        )
    return _KINDS.get(problem.status, SwarmstrapError)(problem.detail, hint=problem.hint)
