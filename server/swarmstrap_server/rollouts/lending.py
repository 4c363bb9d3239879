# SPDX-License-Identifier: GPL-2.0-or-later
"""Reservations in the server's database, and whose nodes are whose meanwhile."""

from collections.abc import Sequence

import msgspec

from swarmstrap.errors import Refused
from swarmstrap_server.control.store import Store
from swarmstrap_server.rollouts.values import Reservation
from swarmstrap_server.site import ranges
from swarmstrap_server.times import clock_time

_LATEST = 100


class Lent:
    def __init__(self, store: Store) -> None:
        self._store = store

    def latest(self) -> list[Reservation]:
        """Newest first."""
        return self._read("ORDER BY begins DESC LIMIT ?", _LATEST)

    def running(self) -> list[Reservation]:
        """What ends first is first."""
        return self._read("WHERE ended IS NULL ORDER BY until")

    def holder(self, node: str) -> Reservation | None:
        return next((one for one in self.running() if node in one.left), None)

    def check_free(self, nodes: Sequence[str], by: str = "") -> None:
        """Raises Refused for nodes that are lent, but for those that are lent to `by`."""
        for one in self.running():
            taken = set(one.left).intersection(nodes)
            if taken and one.by != by:
                until = clock_time(one.until)
                raise Refused(
                    f"{ranges.fold(sorted(taken))} is reserved by {one.by} until {until}",
                    hint=f"wait, or end it: swarmstrap reservation end {one.id}",
                )

    def save(self, one: Reservation) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?)",
            one.id,
            one.begins,
            one.until,
            one.ended,
            msgspec.json.encode(one),
        )

    def _read(self, clause: str, *values: int) -> list[Reservation]:
        rows = self._store.execute(f"SELECT body FROM reservations {clause}", *values)
        return [msgspec.json.decode(body, type=Reservation) for (body,) in rows.fetchall()]
