# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens that buy a node its job, and the sessions in which it then reports. Only the SHA-256 of
each is ever kept: `bearers.digest`.
"""

from dataclasses import dataclass

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.store import Store


@dataclass(frozen=True, slots=True)
class Token:
    """`claim` is the digest of the word with which it was `used`."""

    deployment: str
    expires: float
    used: float | None
    claim: bytes | None


def add_token(store: Store, digest: bytes, deployment: str, expires: float) -> None:
    store.execute("INSERT INTO tokens VALUES (?, ?, ?, NULL, NULL)", digest, deployment, expires)


def token(store: Store, digest: bytes) -> Token | None:
    query = "SELECT deployment, expires, used, claim FROM tokens WHERE hash = ?"
    row = store.execute(query, digest).fetchone()
    return Token(*row) if row else None


def use_token(store: Store, digest: bytes, claim: bytes, now: float) -> None:
    store.execute("UPDATE tokens SET used = ?, claim = ? WHERE hash = ?", now, claim, digest)


def set_session(store: Store, digest: bytes, deployment: str) -> None:
    """The only session of `deployment` from now on."""
    store.execute("DELETE FROM sessions WHERE deployment = ?", deployment)
    store.execute("INSERT INTO sessions VALUES (?, ?)", digest, deployment)


def session(store: Store, digest: bytes) -> Deployment | None:
    row = store.execute("SELECT deployment FROM sessions WHERE hash = ?", digest).fetchone()
    return store.deployment(row[0]) if row else None


def session_of(store: Store, deployment: str) -> bytes | None:
    """The digest of its session, if its node ever took the job."""
    row = store.execute("SELECT hash FROM sessions WHERE deployment = ?", deployment).fetchone()
    return row[0] if row else None
