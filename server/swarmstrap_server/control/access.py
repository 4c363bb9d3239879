# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what: tokens with a role, and the dashboard's logins.

A token is `NAME.SECRET`, a login's cookie `ID.SECRET`: the first half finds the row.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from swarmstrap.errors import BadInput, Refused, Untrusted
from swarmstrap_server.control.bearers import digest, is_of, new_secret
from swarmstrap_server.control.operator_wire import ROLES, Role, Token
from swarmstrap_server.control.store import Store

TOKEN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LOGIN_SECONDS = 12 * 3600.0
# A token's last use is written down at most so often.
_USED_SECONDS = 60.0
_COLUMNS = "name, role, created, expires, used"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a token's `name`, by itself or by a login made with it, or the socket's owner."""

    name: str
    role: Role
    by: Literal["socket", "token", "login"]

    def may(self, role: Role) -> bool:
        """Each role may all that those before it may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Access:
    """Raises Untrusted for a secret that is wrong, revoked or expired."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def add(self, name: str, role: Role, expires: float | None = None) -> str:
        """A new token, which nobody can be shown again."""
        if not TOKEN_NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} is not a name for a token", hint="use lower-case letters, digits, '-'"
            )
        if self._token(name):
            raise Refused(f"there is a token {name} already", hint="revoke it, or choose a name")
        secret = new_secret()
        self._store.execute(
            "INSERT INTO operators VALUES (?, ?, ?, ?, ?, NULL)",
            name,
            digest(secret),
            role,
            self._clock(),
            expires,
        )
        return f"{name}.{secret}"

    def tokens(self) -> list[Token]:
        rows = self._store.execute(f"SELECT {_COLUMNS} FROM operators ORDER BY name")
        return [_token(row) for row in rows]

    def revoke(self, name: str) -> bool:
        """Ends the token and every login made with it; False when there is none."""
        self._store.execute("DELETE FROM logins WHERE operator = ?", name)
        return self._store.execute("DELETE FROM operators WHERE name = ?", name).rowcount > 0

    def by_token(self, token: str) -> Principal:
        name, _, secret = token.partition(".")
        row = self._store.execute("SELECT hash FROM operators WHERE name = ?", name).fetchone()
        found = self._token(name)
        if not _same(secret, row) or found is None:
            raise Untrusted("this token is not one of this server")
        now = self._clock()
        if found.expires is not None and now >= found.expires:
            raise Untrusted(f"the token {name} has expired", hint="swarmstrap token add makes one")
        if found.used is None or now - found.used >= _USED_SECONDS:
            self._store.execute("UPDATE operators SET used = ? WHERE name = ?", now, name)
        return Principal(name, found.role, "token")

    def login(self, token: str) -> str:
        """The cookie for a browser, good for LOGIN_SECONDS and as long as the token."""
        principal = self.by_token(token)
        now = self._clock()
        self._store.execute("DELETE FROM logins WHERE expires <= ?", now)
        key, secret = secrets.token_urlsafe(12), new_secret()
        self._store.execute(
            "INSERT INTO logins VALUES (?, ?, ?, ?)",
            key,
            digest(secret),
            principal.name,
            now + LOGIN_SECONDS,
        )
        return f"{key}.{secret}"

    def by_login(self, cookie: str) -> Principal:
        key, _, secret = cookie.partition(".")
        query = "SELECT hash, operator, expires FROM logins WHERE id = ?"
        row = self._store.execute(query, key).fetchone()
        now = self._clock()
        if not _same(secret, row) or now >= row[2]:
            raise Untrusted("this login has ended", hint="log in again")
        token = self._token(row[1])
        if token is None or (token.expires is not None and now >= token.expires):
            raise Untrusted("the token of this login has ended", hint="log in with another")
        return Principal(token.name, token.role, "login")

    def logout(self, cookie: str) -> None:
        self._store.execute("DELETE FROM logins WHERE id = ?", cookie.partition(".")[0])

    def _token(self, name: str) -> Token | None:
        query = f"SELECT {_COLUMNS} FROM operators WHERE name = ?"
        row = self._store.execute(query, name).fetchone()
        return _token(row) if row else None


def _token(row: tuple[str, Role, float, float | None, float | None]) -> Token:
    name, role, created, expires, used = row
    return Token(name=name, role=role, created=created, expires=expires, used=used)


def _same(secret: str, row: tuple[bytes, ...] | None) -> bool:
    return row is not None and is_of(secret, row[0])
