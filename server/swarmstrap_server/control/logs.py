# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs that nodes leave behind, one for each deployment: that of its last boot."""

import zlib

import msgspec

from swarmstrap.wire import NodeLog
from swarmstrap_server.control.store import Store


def keep(store: Store, deployment: str, log: NodeLog, now: float) -> None:
    packed = zlib.compress(msgspec.json.encode(log))
    store.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", deployment, now, packed)


def log_of(store: Store, deployment: str) -> NodeLog | None:
    row = store.execute("SELECT body FROM logs WHERE deployment = ?", deployment).fetchone()
    return msgspec.json.decode(zlib.decompress(row[0]), type=NodeLog) if row else None


def newest_log(store: Store, node: str) -> NodeLog | None:
    """Of the last deployment of `node` that left one."""
    query = """
        SELECT deployment FROM logs JOIN deployments ON deployments.id = logs.deployment
        WHERE deployments.node = ? ORDER BY deployments.armed_at DESC LIMIT 1
    """
    row = store.execute(query, node).fetchone()
    return log_of(store, row[0]) if row else None
