# SPDX-License-Identifier: GPL-2.0-or-later
"""The database: what is written is read again, by this process and by the next."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.making import deployment
from tests.unit.test_rollouts import T0, rollout

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Boot, Cpu, Inventory, Memory, SystemVendor
from swarmstrap.wire import Event, PlanReport
from swarmstrap_server.control import sessions
from swarmstrap_server.control.identity import marks
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.schema import MIGRATIONS
from swarmstrap_server.control.sessions import Token
from swarmstrap_server.control.store import SeenNode, Store
from swarmstrap_server.rollouts.keeping import Kept
from swarmstrap_server.rollouts.lending import Lent
from swarmstrap_server.rollouts.values import Member, Order, Pace, Reservation, Rollout

INVENTORY = Inventory(
    boot=Boot(current_boot_mode="bios"),
    cpu=Cpu(architecture="x86_64"),
    memory=Memory(total=1 << 30),
    system_vendor=SystemVendor(uuid="u"),
)


def seen(name: str, mac: str = "52:54:00:00:00:01") -> SeenNode:
    return SeenNode(name, marks("", [mac]), "192.0.2.7", 5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "swarmstrap.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store(path)) as store:
        yield store


def test_everything_survives_the_process(store: Store, path: Path) -> None:
    event = Event(sequence=1, time=2.0, kind="log", name="x", description="é")
    store.save_node(seen("n1"), INVENTORY)
    store.save_deployment(deployment("d1", "n1", 1.0))
    store.save_plan("d1", PlanReport(digest="x", lines=("a", "b")))
    store.add_event("n1", event, 9.0)
    with closing(Store(path)) as again:
        assert again.node("n1") == seen("n1")
        assert again.inventory("n1") == INVENTORY
        assert again.deployments() == [deployment("d1", "n1", 1.0)]
        assert again.plan("d1") == PlanReport(digest="x", lines=("a", "b"))
        assert [record.event for record in again.events("n1")] == [event]


def test_an_inventory_in_the_shape_of_another_version_is_as_good_as_none(
    store: Store, path: Path
) -> None:
    store.save_node(seen("n1"), INVENTORY)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE nodes SET inventory = ?", (b'{"firmware": "bios"}',))
    assert store.inventory("n1") is None


def test_the_latest_deployment_is_the_newest_that_was_not_taken_back(store: Store) -> None:
    for number, state in enumerate(("deployed", "expired", "disarmed")):
        store.save_deployment(replace(deployment(state, "n1", float(number)), state=state))
    store.save_deployment(deployment("other", "n2", 99.0))
    latest, last = store.latest_deployment("n1"), store.last_arming("n1")
    assert latest is not None
    assert last is not None
    assert (latest.id, last.id) == ("deployed", "disarmed")


def test_a_token_remembers_when_and_by_whom_it_was_used(store: Store) -> None:
    sessions.add_token(store, b"hash", "d1", expires=10.0)
    assert sessions.token(store, b"hash") == Token("d1", 10.0, used=None, claim=None)
    sessions.use_token(store, b"hash", b"claim", 9.0)
    assert sessions.token(store, b"hash") == Token("d1", 10.0, used=9.0, claim=b"claim")


def test_a_deployment_has_one_session(store: Store) -> None:
    store.save_deployment(deployment("d1", "n1", 1.0))
    sessions.set_session(store, b"first", "d1")
    sessions.set_session(store, b"second", "d1")
    assert sessions.session(store, b"first") is None
    assert sessions.session(store, b"second") == deployment("d1", "n1", 1.0)


def test_a_database_of_an_older_version_is_brought_forward(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.executescript(MIGRATIONS[0])
        raw.execute("INSERT INTO tokens (hash, deployment, expires) VALUES (x'00', 'd1', 5.0)")
        raw.execute("PRAGMA user_version = 1")
    with closing(Store(path)) as store:
        assert sessions.token(store, b"\0") == Token("d1", 5.0, used=None, claim=None)


def test_rollouts_of_an_older_version_are_counted_by_state(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = replace(rollout(3, Pace()), ended=T0)
    before = next(i for i, script in enumerate(MIGRATIONS) if "ADD COLUMN state" in script)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for script in MIGRATIONS[:before]:
            raw.executescript(script)
        raw.execute(f"PRAGMA user_version = {before}")
        body = msgspec.json.encode(replace(begun, members=()))
        raw.execute("INSERT INTO rollouts VALUES ('r', 1.0, 2.0, ?)", (body,))
        for place, member in enumerate(begun.members):
            row = ("r", place, member.node, msgspec.json.encode(member))
            raw.execute("INSERT INTO rollout_members VALUES (?, ?, ?, ?)", row)
    with closing(Store(path)) as store:
        assert Kept(store).summaries(9) == [begun.summary]


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012
        store.save_node(seen("n1"), INVENTORY)
        raise ZeroDivisionError
    assert store.nodes() == []


def test_a_node_that_gets_a_name_keeps_its_past(store: Store) -> None:
    store.save_node(seen("node-1"), INVENTORY)
    store.save_deployment(deployment("d1", "node-1", 1.0))
    store.add_event("node-1", Event(sequence=0, time=1.0, kind="log", name="x"), 1.0)
    store.rename_node("node-1", "web1")
    assert [node.name for node in store.nodes()] == ["web1"]
    latest = store.latest_deployment("web1")
    assert latest is not None
    assert latest.node == "web1"
    assert len(store.events("web1")) == 1


def test_what_is_rolled_out_and_lent_is_so_under_the_new_name(store: Store) -> None:
    arm = Arm(nodes=("node-1", "n2"), image="debian")
    members = tuple(Member(node=node, switched=True, since=1.0) for node in arm.nodes)
    rollout = Rollout(id="r", order=Order(arm=arm), created=1.0, members=members)
    lent = Reservation(
        id="l",
        by="ada",
        nodes=arm.nodes,
        order=rollout.order,
        rollout="r",
        begins=1.0,
        until=9.0,
        left=("n2", "node-1"),
    )
    Kept(store).save(rollout)
    Lent(store).save(lent)
    store.rename_node("node-1", "web1")
    renamed = replace(rollout.order, arm=replace(arm, nodes=("web1", "n2")))
    found = Kept(store).rollout("r")
    assert found == replace(
        rollout, order=renamed, members=(replace(members[0], node="web1"), members[1])
    )
    assert Lent(store).running() == [
        replace(lent, order=renamed, nodes=("web1", "n2"), left=("n2", "web1"))
    ]
    store.rename_node("node-1", "db1")
    assert Kept(store).rollout("r") == found


def test_the_last_events_oldest_first(store: Store) -> None:
    for number in range(5):
        store.add_event("n1", Event(sequence=number, time=0.0, kind="log", name="x"), 0.0)
    assert [record.event.sequence for record in store.events("n1", limit=2)] == [3, 4]


def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 999")
    with pytest.raises(SwarmstrapError, match="is of a newer Swarmstrap"):
        Store(path)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(SwarmstrapError, match="cannot open the database"):
        Store(path)


def test_active_deployments_are_known_at_once_and_after_a_restart(store: Store, path: Path) -> None:
    active = replace(deployment("d1", "n1", 1.0), state="active")
    store.save_deployment(active)
    store.save_deployment(deployment("d2", "n2", 1.0))
    assert list(store.active()) == [active]
    with closing(Store(path)) as again:
        assert list(again.active()) == [active]
    store.save_deployment(replace(active, state="deployed"))
    assert list(store.active()) == []
