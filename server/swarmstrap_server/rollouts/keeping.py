# SPDX-License-Identifier: GPL-2.0-or-later
"""Rollouts in the server's database: a row for each, and one for each of its members."""

import msgspec
from msgspec.structs import replace

from swarmstrap_server.control.store import Store
from swarmstrap_server.rollouts.values import Member, MemberState, Rollout, RolloutSummary


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
                "INSERT OR REPLACE INTO rollout_members VALUES (?, ?, ?, ?, ?)",
                rollout.id,
                place,
                member.node,
                msgspec.json.encode(member),
                member.state,
            )

    def rollout(self, key: str) -> Rollout | None:
        return next(iter(self._rollouts("WHERE id = ?", key)), None)

    def under_way(self) -> list[Rollout]:
        return self._rollouts("WHERE ended IS NULL ORDER BY created")

    def summaries(self, limit: int, after: str = "") -> list[RolloutSummary]:
        """At most `limit`, newest first: those older than `after`, or the newest of all."""
        where = "WHERE (created, id) < (SELECT created, id FROM rollouts WHERE id = ?) "
        order = "ORDER BY created DESC, id DESC LIMIT ?"
        if after:
            bare = self._bare(where + order, after, limit)
        else:
            bare = self._bare(order, limit)
        return [replace(one.summary, states=self._states(one.id)) for one in bare]

    def ended_since(self, since: float) -> set[str]:
        rows = self._store.execute("SELECT id FROM rollouts WHERE ended >= ?", since)
        return {key for (key,) in rows.fetchall()}

    def latest_of(self, node: str) -> Rollout | None:
        """The newest that has this node."""
        having = "WHERE id IN (SELECT rollout FROM rollout_members WHERE node = ?)"
        return next(iter(self._rollouts(f"{having} ORDER BY created DESC LIMIT 1", node)), None)

    def _rollouts(self, clause: str, *values: str | int) -> list[Rollout]:
        bare = self._bare(clause, *values)
        return [replace(rollout, members=self._members(rollout.id)) for rollout in bare]

    def _bare(self, clause: str, *values: str | int) -> list[Rollout]:
        """Without their members."""
        rows = self._store.execute(f"SELECT body FROM rollouts {clause}", *values).fetchall()
        return [msgspec.json.decode(body, type=Rollout) for (body,) in rows]

    def _states(self, key: str) -> dict[MemberState, int]:
        query = "SELECT state, COUNT(*) FROM rollout_members WHERE rollout = ? GROUP BY state"
        return dict(self._store.execute(query, key).fetchall())

    def _members(self, key: str) -> tuple[Member, ...]:
        """In the order in which the rollout was made."""
        query = "SELECT body FROM rollout_members WHERE rollout = ? ORDER BY place"
        rows = self._store.execute(query, key)
        return tuple(msgspec.json.decode(body, type=Member) for (body,) in rows)
