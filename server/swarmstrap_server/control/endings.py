# SPDX-License-Identifier: GPL-2.0-or-later
"""Deployments that have ended, handed on once each to those who care, though a server be killed."""

from collections.abc import Callable, Sequence

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.store import Store

Heir = Callable[[Sequence[Deployment]], None]

# A tick must not keep the event loop for long.
_MOST_A_TICK = 500


class Endings:
    """The store notes an ending in the transaction that makes it one; heirs take it in another,
    which also crosses it out: what they write is written, and is written once.
    """

    def __init__(self, store: Store, heirs: Sequence[Heir]) -> None:
        self._store = store
        self._heirs = heirs

    def tick(self) -> None:
        query = "SELECT deployment FROM endings LIMIT ?"
        keys = [key for (key,) in self._store.execute(query, _MOST_A_TICK).fetchall()]
        if not keys:
            return
        with self._store.transaction():
            found = [self._store.deployment(key) for key in keys]
            # One that was given up for its silence may be at work again.
            ended = [deployment for deployment in found if deployment and deployment.ended]
            for heir in self._heirs:
                heir(ended)
            for key in keys:
                self._store.execute("DELETE FROM endings WHERE deployment = ?", key)
