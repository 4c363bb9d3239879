# SPDX-License-Identifier: GPL-2.0-or-later
"""Run-time state in SQLite: what was seen, armed, said. The only door to the database.

One connection, used from one thread; a write takes some ten microseconds (WAL, synced at
checkpoints), so the event loop does not wait for it in a thread of its own. A power cut can lose
the last moments and never the consistency.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Inventory
from swarmstrap.wire import Event, PlanReport
from swarmstrap_server.control import renaming
from swarmstrap_server.control.current import Current
from swarmstrap_server.control.identity import Known, Marks
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Record
from swarmstrap_server.control.schema import MIGRATIONS

_BUSY_MILLISECONDS = 5000
_SELECT_NODE = "SELECT name, uuid, macs, serial, address, seen FROM nodes"

Value = str | bytes | int | float | None


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A machine that registered; `seen` is when it did so last, `address` from where."""

    name: str
    marks: Marks
    address: str
    seen: float

    @property
    def known(self) -> Known:
        return Known(self.name, self.marks)


class Store:
    """Raises SwarmstrapError when the file cannot be opened or is of a newer version."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
            self._migrate(path)
            self._current = self._recall()
        except (OSError, sqlite3.Error) as error:
            raise SwarmstrapError(f"cannot open the database {path}: {error}") from error

    def close(self) -> None:
        self.write_behind()
        self._db.close()

    def execute(self, statement: str, *values: Value) -> sqlite3.Cursor:
        """For the modules that keep tables of their own here; `MIGRATIONS` makes those, too."""
        return self._db.execute(statement, values)

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise SwarmstrapError(
                f"the database {path} is of a newer Swarmstrap", hint="upgrade this server"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Not to be held over an await."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            unwritten = self._current.unwritten
            self._current = self._recall()
            for deployment in unwritten.values():
                self._current.put(deployment, written=False)
            raise
        self._db.execute("COMMIT")

    def prove_writable(self) -> None:
        """Raises SwarmstrapError unless a write goes through now."""
        try:
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        except sqlite3.Error as error:
            raise SwarmstrapError(f"cannot write the database: {error}") from error

    # Nodes

    def save_node(self, node: SeenNode, inventory: Inventory) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                node.name,
                node.marks.uuid,
                msgspec.json.encode(sorted(node.marks.macs)),
                node.address,
                node.seen,
                msgspec.json.encode(inventory),
                node.marks.serial,
            ),
        )

    def node(self, name: str) -> SeenNode | None:
        row = self._db.execute(f"{_SELECT_NODE} WHERE name = ?", (name,)).fetchone()
        return _seen_node(row) if row else None

    def nodes(self) -> list[SeenNode]:
        return [_seen_node(row) for row in self._db.execute(f"{_SELECT_NODE} ORDER BY name")]

    def inventory(self, node: str) -> Inventory | None:
        row = self._db.execute("SELECT inventory FROM nodes WHERE name = ?", (node,)).fetchone()
        try:
            return msgspec.json.decode(row[0], type=Inventory) if row else None
        except msgspec.ValidationError:
            return None  # another version wrote it: as good as not seen

    def rename_node(self, old: str, new: str) -> None:
        """Gives what was seen, deployed, rolled out, lent and said under `old` to `new`, which
        was never seen.
        """
        with self.transaction():
            for statement in renaming.statements():
                self._db.execute(statement, {"old": old, "new": new})
            for deployment in self._deployments("WHERE node = ?", (old,)):
                self.save_deployment(msgspec.structs.replace(deployment, node=new))

    # Deployments

    def save_deployment(self, deployment: Deployment) -> None:
        if deployment.ended is not None:
            self._note_ending(deployment)
        self._write(deployment)
        self._current.put(deployment, written=True)

    def note_deployment(self, deployment: Deployment) -> None:
        """For what a node repeats all the time: written with the next `write_behind`."""
        self._current.put(deployment, written=False)

    def write_behind(self) -> None:
        """To be called every few seconds."""
        if self._current.unwritten:
            with self.transaction():
                for deployment in list(self._current.unwritten.values()):
                    self._write(deployment)
            self._current.unwritten.clear()

    def _note_ending(self, deployment: Deployment) -> None:
        """`endings` takes it up from there, also in the next process."""
        query = "SELECT state FROM deployments WHERE id = ?"
        if self._db.execute(query, (deployment.id,)).fetchone() != (deployment.state,):
            self._db.execute("INSERT OR IGNORE INTO endings VALUES (?)", (deployment.id,))

    def _write(self, deployment: Deployment) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO deployments VALUES (?, ?, ?, ?, ?)",
            (
                deployment.id,
                deployment.node,
                deployment.state,
                deployment.armed_at,
                msgspec.json.encode(deployment),
            ),
        )

    def _recall(self) -> Current:
        where = "WHERE state IN ('armed', 'active') ORDER BY armed_at"
        return Current(self._read_deployments(where, ()))

    def active(self) -> Collection[Deployment]:
        """Those in state active, from memory.

        True for the process that writes them, which is the server.
        """
        return self._current.active

    def open(self) -> list[Deployment]:
        """Those in state armed or active, likewise."""
        return self._current.all()

    def deployment(self, key: str) -> Deployment | None:
        found = self._current.get(key)
        return found or next(iter(self._deployments("WHERE id = ?", (key,))), None)

    def latest_deployment(self, node: str) -> Deployment | None:
        """The newest that neither expired nor was disarmed."""
        active = self._current.active_on(node)
        if active is not None:
            return active
        where = "WHERE node = ? AND state NOT IN ('expired', 'disarmed')"
        found = self._deployments(f"{where} ORDER BY armed_at DESC LIMIT 1", (node,))
        return next(iter(found), None)

    def latest_deployments(self) -> dict[str, Deployment]:
        """The same of every node that has one, by its name."""
        clause = """
            WHERE id IN (
                SELECT id FROM (
                    SELECT id, MAX(armed_at) FROM deployments
                    WHERE state NOT IN ('expired', 'disarmed') GROUP BY node
                )
            )
        """
        return {deployment.node: deployment for deployment in self._deployments(clause, ())}

    def last_arming(self, node: str) -> Deployment | None:
        """The newest, whatever became of it."""
        found = self._deployments("WHERE node = ? ORDER BY armed_at DESC LIMIT 1", (node,))
        return next(iter(found), None)

    def installed(self, node: str) -> Deployment | None:
        """The newest that partitioned the node's disks, whatever became of it."""
        where = "WHERE node = ? AND state IN ('active', 'deployed', 'failed')"
        found = self._deployments(f"{where} ORDER BY armed_at DESC", (node,))
        return next((d for d in found if d.mode == "deploy" and d.started is not None), None)

    def deployments(self, *states: str) -> list[Deployment]:
        """All, or those in one of `states`, oldest first."""
        marks = ", ".join("?" * len(states))
        where = f"WHERE state IN ({marks}) " if states else ""
        return self._deployments(f"{where}ORDER BY armed_at", states)

    def deployments_of(self, node: str) -> list[Deployment]:
        """All of one node, oldest first."""
        return self._deployments("WHERE node = ? ORDER BY armed_at", (node,))

    def armed_with(self, deployment: str) -> list[Deployment]:
        """Those that were armed at the time of this one, which is by the same order."""
        where = "WHERE armed_at = (SELECT armed_at FROM deployments WHERE id = ?)"
        return self._deployments(f"{where} ORDER BY node", (deployment,))

    def _deployments(self, clause: str, values: Iterable[str]) -> list[Deployment]:
        unwritten = self._current.unwritten
        return [unwritten.get(d.id, d) for d in self._read_deployments(clause, values)]

    def _read_deployments(self, clause: str, values: Iterable[str]) -> list[Deployment]:
        rows = self._db.execute(f"SELECT body FROM deployments {clause}", tuple(values))
        return [msgspec.json.decode(body, type=Deployment) for (body,) in rows]

    def save_plan(self, deployment: str, plan: PlanReport) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO plans VALUES (?, ?)", (deployment, msgspec.json.encode(plan))
        )

    def plan(self, deployment: str) -> PlanReport | None:
        query = "SELECT body FROM plans WHERE deployment = ?"
        row = self._db.execute(query, (deployment,)).fetchone()
        return msgspec.json.decode(row[0], type=PlanReport) if row else None

    # Events

    def add_event(self, node: str, event: Event, received: float) -> Record:
        cursor = self._db.execute(
            "INSERT INTO events (node, received, body) VALUES (?, ?, ?)",
            (node, received, msgspec.json.encode(event)),
        )
        return Record(id=cursor.lastrowid or 0, received=received, node=node, event=event)

    def events(self, node: str, *, limit: int = 200) -> list[Record]:
        """The last `limit` events of `node`, oldest first."""
        query = "SELECT id, received, body FROM events WHERE node = ? ORDER BY id DESC LIMIT ?"
        rows = self._db.execute(query, (node, limit)).fetchall()
        return [
            Record(id=key, received=at, node=node, event=msgspec.json.decode(body, type=Event))
            for key, at, body in reversed(rows)
        ]


def _seen_node(row: tuple[str, str, bytes, str, str, float]) -> SeenNode:
    name, uuid, macs, serial, address, seen = row
    known = frozenset(msgspec.json.decode(macs, type=list[str]))
    return SeenNode(name, Marks(uuid, known, serial), address, seen)
