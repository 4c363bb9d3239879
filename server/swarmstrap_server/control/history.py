# SPDX-License-Identifier: GPL-2.0-or-later
"""The past in pages: a page stays what it is while rows are added, so that none is seen twice."""

from collections.abc import Sequence

import msgspec

from swarmstrap.wire import Event
from swarmstrap_server.control.nodes import Deployment, DeploymentState
from swarmstrap_server.control.operator_wire import Record
from swarmstrap_server.control.store import Store, Value


def deployments_before(
    store: Store,
    last: Deployment | None,
    limit: int,
    *,
    node: str = "",
    state: DeploymentState | None = None,
) -> list[Deployment]:
    """At most `limit`, newest first: those older than `last`, or the newest of all."""
    where, values = ["TRUE"], list[Value]()
    if last is not None:
        where.append("(armed_at, id) < (?, ?)")
        values += [last.armed_at, last.id]
    if node:
        where.append("node = ?")
        values.append(node)
    if state is not None:
        where.append("state = ?")
        values.append(state)
    rows = store.execute(
        f"SELECT body FROM deployments WHERE {' AND '.join(where)}"
        " ORDER BY armed_at DESC, id DESC LIMIT ?",
        *values,
        limit,
    )
    return [msgspec.json.decode(body, type=Deployment) for (body,) in rows]


def events_after(store: Store, key: int, limit: int, *, node: str) -> list[Record]:
    """At most `limit` of one node's, oldest first."""
    rows = store.execute(
        "SELECT id, node, received, body FROM events WHERE node = ? AND id > ? ORDER BY id LIMIT ?",
        node,
        key,
        limit,
    )
    return [_record(row) for row in rows]


def newest_events_after(store: Store, key: int, limit: int) -> tuple[list[Record], int]:
    """The newest `limit` of all nodes', oldest first, and how many older ones that leaves out."""
    query = "SELECT id, node, received, body FROM events WHERE id > ? ORDER BY id DESC LIMIT ?"
    rows: Sequence[tuple[int, str, float, bytes]] = store.execute(query, key, limit).fetchall()
    (count,) = store.execute("SELECT count(*) FROM events WHERE id > ?", key).fetchone()
    return [_record(row) for row in reversed(rows)], count - len(rows)


def last_event(store: Store) -> int:
    """The `id` of the newest, 0 before there is one."""
    (key,) = store.execute("SELECT max(id) FROM events").fetchone()
    return key or 0


def _record(row: tuple[int, str, float, bytes]) -> Record:
    key, node, received, body = row
    event = msgspec.json.decode(body, type=Event)
    return Record(id=key, received=received, node=node, event=event)
