# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the server's database, as they came to be. Pure.

One entry per version; `user_version` of a database counts those that were applied to it. What was
released is never changed: what is to be otherwise is one more entry.
"""

MIGRATIONS = (
    """
    CREATE TABLE nodes (
        name TEXT PRIMARY KEY, uuid TEXT NOT NULL, macs BLOB NOT NULL, address TEXT NOT NULL,
        seen REAL NOT NULL, inventory BLOB NOT NULL
    ) STRICT;
    CREATE TABLE deployments (
        id TEXT PRIMARY KEY, node TEXT NOT NULL, state TEXT NOT NULL, armed_at REAL NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX deployments_of_node ON deployments (node, armed_at);
    CREATE INDEX deployments_in_state ON deployments (state);
    CREATE TABLE tokens (
        hash BLOB PRIMARY KEY, deployment TEXT NOT NULL, expires REAL NOT NULL, used REAL
    ) STRICT;
    CREATE TABLE sessions (hash BLOB PRIMARY KEY, deployment TEXT NOT NULL) STRICT;
    CREATE TABLE plans (deployment TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, node TEXT NOT NULL, received REAL NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX events_of_node ON events (node, id);
    """,
    "ALTER TABLE tokens ADD COLUMN claim BLOB",
    """
    CREATE TABLE operators (
        name TEXT PRIMARY KEY, hash BLOB NOT NULL, role TEXT NOT NULL, created REAL NOT NULL,
        expires REAL, used REAL
    ) STRICT;
    CREATE TABLE logins (
        id TEXT PRIMARY KEY, hash BLOB NOT NULL, operator TEXT NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE TABLE answers (
        operator TEXT NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL, status INTEGER NOT NULL,
        body BLOB NOT NULL, made REAL NOT NULL, PRIMARY KEY (operator, key)
    ) STRICT;
    """,
    """
    CREATE TABLE rollouts (
        id TEXT PRIMARY KEY, created REAL NOT NULL, ended REAL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX rollouts_by_age ON rollouts (created);
    CREATE TABLE rollout_members (
        rollout TEXT NOT NULL, place INTEGER NOT NULL, node TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (rollout, place)
    ) STRICT;
    CREATE INDEX rollouts_of_node ON rollout_members (node);
    """,
    "ALTER TABLE nodes ADD COLUMN serial TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE endings (deployment TEXT PRIMARY KEY) STRICT;
    CREATE TABLE logs (
        deployment TEXT PRIMARY KEY, received REAL NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX events_by_age ON events (received);
    CREATE TABLE deliveries (
        id TEXT PRIMARY KEY, url TEXT NOT NULL, body BLOB NOT NULL, made REAL NOT NULL,
        due REAL, attempts INTEGER NOT NULL, outcome TEXT NOT NULL
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
    """,
    "CREATE TABLE names (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT",
    """
    CREATE TABLE reservations (
        id TEXT PRIMARY KEY, begins REAL NOT NULL, until REAL NOT NULL, ended REAL,
        body BLOB NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE rollout_members ADD COLUMN state TEXT NOT NULL DEFAULT '';
    UPDATE rollout_members SET state = json_extract(CAST(body AS TEXT), '$.state');
    CREATE INDEX rollouts_by_end ON rollouts (ended) WHERE ended IS NOT NULL;
    """,
    """
    ALTER TABLE deliveries ADD COLUMN tries TEXT NOT NULL DEFAULT '[]';
    CREATE INDEX deliveries_of_hook ON deliveries (url, made);
    CREATE INDEX deliveries_by_age ON deliveries (made);
    """,
)
