# SPDX-License-Identifier: GPL-2.0-or-later
"""Who makes a request: the socket's owner, a bearer token, or the cookie of a login."""

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from swarmstrap.errors import Untrusted
from swarmstrap_server.api.problems import Anonymous, Forbidden, TooManyTries
from swarmstrap_server.app import SERVICES
from swarmstrap_server.control.access import LOGIN_SECONDS, Principal
from swarmstrap_server.control.operator_wire import Role

T = TypeVar("T")

# Whether the app listens on the Unix socket, whose mode says who may open it.
LOCAL = web.AppKey("LOCAL", bool)

# The prefix makes browsers refuse it from plain HTTP, for another host or for a part of the site.
COOKIE = "__Host-swarmstrap"
OWNER = Principal("the local operator", "admin", "socket")  # which cannot be a token's name
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def demand(request: web.Request, role: Role, *, again: bool = False) -> Principal:
    """Who asks, if that may do what `role` may; raises Anonymous, TooManyTries or Forbidden.

    With `again`, for a stream that was let in, no pause counts: others may be wrong meanwhile.
    """
    principal = principal_of(request, again=again)
    if not principal.may(role):
        raise Forbidden(
            f"{principal.name} is {principal.role}, and {request.method} {request.path} is for "
            f"{role}",
            hint=f"ask with a token of role {role}",
        )
    return principal


def principal_of(request: web.Request, *, again: bool = False) -> Principal:
    """Raises Anonymous when nobody known asks, TooManyTries when too often with a wrong token,
    Forbidden when another site's page does.
    """
    if request.app[LOCAL]:
        return OWNER
    access = request.app[SERVICES].access
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _tried(request, access.by_token, secret.strip(), again=again)
    cookie = request.cookies.get(COOKIE, "")
    try:
        if not cookie:
            raise Untrusted(f"{request.path} needs a token", hint="swarmstrap token add makes one")
        principal = access.by_login(cookie)
    except Untrusted as error:
        raise Anonymous(error.message, hint=error.hint) from error
    _check_origin(request)
    return principal


def _tried(request: web.Request, look: Callable[[str], T], token: str, *, again: bool = False) -> T:
    """What `look` makes of the token; raises Anonymous, and TooManyTries without a look."""
    tries, address = request.app[SERVICES].tries, request.remote or ""
    if not again and (seconds := tries.pause(address)):
        raise TooManyTries(seconds)
    try:
        found = look(token)
    except Untrusted as error:
        tries.refused(address)
        raise Anonymous(error.message, hint=error.hint) from error
    if not again:
        tries.accepted(address)
    return found


def _check_origin(request: web.Request) -> None:
    """A browser sends the cookie whoever wrote the page: what changes something must be ours."""
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    own = f"{request.scheme}://{request.host}"
    if site == "same-origin" or (site is None and request.headers.get("Origin") == own):
        return
    raise Forbidden("a page of another site may not act here", hint="use this server's dashboard")


def log_in(request: web.Request, response: web.StreamResponse, token: str) -> None:
    """Gives the browser a cookie for `token`; raises Anonymous or TooManyTries, or Forbidden for
    another's page.
    """
    _check_origin(request)
    cookie = _tried(request, request.app[SERVICES].access.login, token.strip())
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(LOGIN_SECONDS),
        path="/",
        secure=True,
        httponly=True,
        samesite="Strict",
    )


def log_out(request: web.Request, response: web.StreamResponse) -> None:
    """Ends the login here and in the browser."""
    _check_origin(request)
    request.app[SERVICES].access.logout(request.cookies.get(COOKIE, ""))
    response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
