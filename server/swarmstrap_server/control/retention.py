# SPDX-License-Identifier: GPL-2.0-or-later
"""What the database forgets, a little with every tick: old events, old rollouts, and old
deployments of a node with their plans and logs.
"""

from collections.abc import Sequence

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.settings import Events

# A tick may keep the event loop for some milliseconds: so many rows, so many nodes, and so many
# rollouts, each with a row for a node.
EVENTS_A_TICK = 1000
NODES_A_TICK = 20
ROLLOUTS_A_TICK = 2
_DAY = 86400.0
_BELONGS = ("plans", "logs", "sessions", "tokens", "endings")


def superfluous(deployments: Sequence[Deployment], keep: int) -> list[Deployment]:
    """Of one node's deployments, oldest first, those that go: all but the newest `keep`, those that
    have not ended, and what the identifiers on the node's disks derive from.
    """
    done = [d for d in deployments if d.ended is not None]
    kept = [d for d in deployments if d.ended is None] + done[-keep:]
    partitioned = [d for d in done if d.mode == "deploy" and d.started is not None]
    needed = {d.origin for d in kept} | {d.id for d in [*kept, *partitioned[-1:]]}
    return [d for d in done if d.id not in needed]


class Retention:
    """Goes round the nodes by name, and begins anew after the last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reached = ""

    def tick(self, words: Events, now: float) -> None:
        oldest = now - words.keep_days * _DAY
        self._forget_events(oldest)
        with self._store.transaction():
            self._forget_rollouts(oldest)
            for node in self._next_nodes():
                for deployment in superfluous(
                    self._store.deployments_of(node), words.keep_deployments
                ):
                    self._forget(deployment.id)

    def _forget_events(self, oldest: float) -> None:
        self._store.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received < ? LIMIT ?)",
            oldest,
            EVENTS_A_TICK,
        )

    def _forget_rollouts(self, oldest: float) -> None:
        query = "SELECT id FROM rollouts WHERE ended < ? LIMIT ?"
        for (key,) in self._store.execute(query, oldest, ROLLOUTS_A_TICK).fetchall():
            self._store.execute("DELETE FROM rollout_members WHERE rollout = ?", key)
            self._store.execute("DELETE FROM rollouts WHERE id = ?", key)

    def _next_nodes(self) -> list[str]:
        query = "SELECT DISTINCT node FROM deployments WHERE node > ? ORDER BY node LIMIT ?"
        nodes = [n for (n,) in self._store.execute(query, self._reached, NODES_A_TICK).fetchall()]
        self._reached = nodes[-1] if len(nodes) == NODES_A_TICK else ""
        return nodes

    def _forget(self, key: str) -> None:
        for table in _BELONGS:
            self._store.execute(f"DELETE FROM {table} WHERE deployment = ?", key)
        self._store.execute("DELETE FROM deployments WHERE id = ?", key)
