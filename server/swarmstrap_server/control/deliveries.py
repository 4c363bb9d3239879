# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages to webhooks: those that have a try before them, and what became of the last ones."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from swarmstrap_server.control.announcing import Letter
from swarmstrap_server.control.operator_wire import Delivery, Try
from swarmstrap_server.control.store import Store

# Of each hook. These are kept for a month, what is older than they for a day: who ends twice, as
# after a restart, is told of once.
HISTORY = 20
_DAY = 86400.0
_MONTH = 30 * _DAY

_SELECT = "SELECT id, body, made, attempts, due, outcome, tries FROM deliveries"
_Row = tuple[str, bytes, float, int, float | None, str, str]


class _Subject(msgspec.Struct, frozen=True):
    id: str = ""
    node: str = ""


class _Told(msgspec.Struct, frozen=True):
    """Of the body of a letter what says whom it is about."""

    type: str
    data: _Subject


@dataclass(frozen=True, slots=True)
class Due:
    letter: Letter
    attempts: int


class Deliveries:
    """In the database, by the URL of the hook."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    @property
    def pending(self) -> int:
        row = self._store.execute("SELECT COUNT(*) FROM deliveries WHERE due IS NOT NULL")
        return int(row.fetchone()[0])

    def urls(self) -> list[str]:
        rows = self._store.execute("SELECT DISTINCT url FROM deliveries ORDER BY url")
        return [url for (url,) in rows]

    def put(self, letter: Letter, made: float, due: float | None) -> None:
        """One that was put before stays as it is."""
        self._store.execute(
            "INSERT OR IGNORE INTO deliveries (id, url, body, made, due, attempts, outcome) "
            "VALUES (?, ?, ?, ?, ?, 0, '')",
            letter.id,
            letter.url,
            letter.body,
            made,
            due,
        )

    def due(self, most: int) -> list[Due]:
        query = "SELECT id, url, body, attempts FROM deliveries WHERE due <= ? ORDER BY due LIMIT ?"
        rows = self._store.execute(query, self._clock(), most).fetchall()
        return [Due(Letter(id=key, url=url, body=body), tried) for key, url, body, tried in rows]

    def tried(self, letter: Letter, one: Try, next_try: float | None) -> Delivery:
        """What has become of a letter that was put."""
        self._store.execute(
            "UPDATE deliveries SET due = ?, attempts = attempts + 1, outcome = ?, "
            "tries = json_insert(tries, '$[#]', json(?)) WHERE id = ?",
            next_try,
            one.outcome,
            msgspec.json.encode(one).decode(),
            letter.id,
        )
        return _delivery(self._store.execute(f"{_SELECT} WHERE id = ?", letter.id).fetchone())

    def of(self, url: str) -> tuple[Delivery, ...]:
        """The last ones, newest first."""
        query = f"{_SELECT} WHERE url = ? ORDER BY made DESC, rowid DESC LIMIT ?"
        return tuple(_delivery(row) for row in self._store.execute(query, url, HISTORY))

    def last_tried(self, url: str) -> Delivery | None:
        """The newest that a try was made for."""
        query = f"{_SELECT} WHERE url = ? AND attempts > 0 ORDER BY made DESC, rowid DESC LIMIT 1"
        row = self._store.execute(query, url).fetchone()
        return _delivery(row) if row else None

    def forget(self) -> None:
        now = self._clock()
        self._store.execute(
            "DELETE FROM deliveries WHERE made < ? AND due IS NULL AND (made < ? OR made < ("
            "SELECT made FROM deliveries AS newer WHERE newer.url = deliveries.url "
            "ORDER BY made DESC LIMIT 1 OFFSET ?))",
            now - _DAY,
            now - _MONTH,
            HISTORY - 1,
        )


def _delivery(row: _Row) -> Delivery:
    key, body, made, attempts, due, outcome, tries = row
    told = msgspec.json.decode(body, type=_Told)
    return Delivery(
        id=key,
        event=told.type,
        subject=told.data.id,
        node=told.data.node,
        made=made,
        attempts=attempts,
        next_try=due,
        delivered=due is None and outcome.startswith("answered 2"),
        outcome=outcome,
        tries=msgspec.json.decode(tries, type=tuple[Try, ...]),
    )
