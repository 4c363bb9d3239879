# SPDX-License-Identifier: GPL-2.0-or-later
"""Rollouts in the server's database: a row for each, and one for each of its members."""

import msgspec
from msgspec.structs import replace

from swarmstrap_server.control.store import Store
from swarmstrap_server.rollouts.values import Member, Rollout


class Kept:
    """Members are rows of their own: of a thousand nodes a few change at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, rollout: Rollout, before: Rollout | None = None) -> None:
        """Within a transaction; what `before` had too is not written again."""
        known = before.members if before else ()
        places = enumerate(rollout.members)
        changed = [(place, m) for place, m in places if known[place : place + 1] != (m,)]
        bare = replace(rollout, members=())
        self._store.execute(
            "INSERT OR REPLACE INTO rollouts VALUES (?, ?, ?, ?)",
            rollout.id,
            rollout.created,
            rollout.ended,
            msgspec.json.encode(bare),
        )
        for place, member in changed:
            self._store.execute(
                "INSERT OR REPLACE INTO rollout_members VALUES (?, ?, ?, ?)",
                rollout.id,
                place,
                member.node,
                msgspec.json.encode(member),
            )

    def rollout(self, key: str) -> Rollout | None:
        return next(iter(self._rollouts("WHERE id = ?", key)), None)

    def under_way(self) -> list[Rollout]:
        return self._rollouts("WHERE ended IS NULL ORDER BY created")

    def latest(self, limit: int) -> list[Rollout]:
        """The newest `limit` of all, newest first."""
        return self._rollouts("ORDER BY created DESC, id LIMIT ?", limit)

    def latest_of(self, node: str) -> Rollout | None:
        """The newest that has this node."""
        having = "WHERE id IN (SELECT rollout FROM rollout_members WHERE node = ?)"
        return next(iter(self._rollouts(f"{having} ORDER BY created DESC LIMIT 1", node)), None)

    def _rollouts(self, clause: str, *values: str | int) -> list[Rollout]:
        rows = self._store.execute(f"SELECT body FROM rollouts {clause}", *values).fetchall()
        bare = [msgspec.json.decode(body, type=Rollout) for (body,) in rows]
        return [replace(rollout, members=self._members(rollout.id)) for rollout in bare]

    def _members(self, key: str) -> tuple[Member, ...]:
        """In the order in which the rollout was made."""
        query = "SELECT body FROM rollout_members WHERE rollout = ? ORDER BY place"
        rows = self._store.execute(query, key)
        return tuple(msgspec.json.decode(body, type=Member) for (body,) in rows)
