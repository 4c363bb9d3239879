# SPDX-License-Identifier: GPL-2.0-or-later
"""What the database forgets of events and deployments, and what it never does."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.making import deployment

from swarmstrap.wire import Event, NodeLog, PlanReport
from swarmstrap_server.control import logs, sessions
from swarmstrap_server.control.endings import Endings
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.retention import EVENTS_A_TICK, NODES_A_TICK, Retention, superfluous
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.settings import Events

DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "swarmstrap.db")) as store:
        yield store


def ended(number: int, node: str = "n1", **more: object) -> Deployment:
    given = {"state": "deployed", "ended": float(number + 9), "started": float(number)}
    return replace(deployment(f"{node}-{number}", node, float(number)), **{**given, **more})


def ids(deployments: list[Deployment]) -> list[str]:
    return [each.id for each in deployments]


def test_the_newest_stay() -> None:
    assert ids(superfluous([ended(n) for n in range(5)], keep=2)) == ["n1-0", "n1-1", "n1-2"]


def test_one_that_has_not_ended_stays_and_does_not_count() -> None:
    mine = [ended(0), replace(deployment("old", "n1", 1.0), state="active"), ended(2), ended(3)]
    assert ids(superfluous(mine, keep=2)) == ["n1-0"]


def test_the_one_that_partitioned_the_disks_stays_for_updates() -> None:
    update = {"mode": "update", "origin": "n1-1"}
    mine = [ended(0), ended(1), *(ended(n, **update) for n in range(2, 6))]
    assert ids(superfluous(mine, keep=1)) == ["n1-0", "n1-2", "n1-3", "n1-4"]


def test_what_belongs_to_a_deployment_goes_with_it(store: Store) -> None:
    for number in range(3):
        store.save_deployment(ended(number))
        store.save_plan(f"n1-{number}", PlanReport(digest="d", lines=()))
        sessions.set_session(store, f"s{number}".encode(), f"n1-{number}")
        logs.keep(store, f"n1-{number}", NodeLog(agent=f"log {number}"), 0.0)
    Retention(store).tick(Events(keep_deployments=1), now=0.0)
    assert ids(store.deployments()) == ["n1-2"]
    assert [store.plan(f"n1-{n}") is None for n in range(3)] == [True, True, False]
    assert sessions.session(store, b"s0") is None
    assert logs.newest_log(store, "n1") == NodeLog(agent="log 2")


def test_old_events_go_a_few_with_each_tick(store: Store) -> None:
    for number in range(EVENTS_A_TICK + 5):
        event = Event(sequence=number, time=0.0, kind="log", name="x")
        store.add_event("n1", event, 1.0 if number < EVENTS_A_TICK + 3 else 10 * DAY)
    retention, words = Retention(store), Events(keep_days=5)
    retention.tick(words, now=10 * DAY)
    assert len(store.events("n1", limit=10_000)) == 5
    retention.tick(words, now=10 * DAY)
    assert len(store.events("n1", limit=10_000)) == 2


def test_all_nodes_have_their_turn(store: Store) -> None:
    names = [f"n{number:03}" for number in range(NODES_A_TICK + 5)]
    for name in names:
        for number in range(2):
            store.save_deployment(ended(number, name))
    retention, words = Retention(store), Events(keep_deployments=1)
    retention.tick(words, now=0.0)
    assert len(store.deployments()) == 2 * len(names) - NODES_A_TICK
    retention.tick(words, now=0.0)
    assert len(store.deployments()) == len(names)


def test_an_ending_is_handed_on_once_and_by_the_next_process_too(
    store: Store, tmp_path: Path
) -> None:
    heard: list[str] = []
    active = replace(deployment("d", "n1", 1.0), state="active", started=1.0)
    store.save_deployment(active)
    done = replace(active, state="deployed", ended=9.0)
    store.save_deployment(done)
    store.save_deployment(replace(done, sequence=7))
    store.close()
    with closing(Store(tmp_path / "swarmstrap.db")) as again:
        endings = Endings(again, [lambda found: heard.extend(ids(list(found)))])
        endings.tick()
        again.save_deployment(replace(done, sequence=8))
        endings.tick()
    assert heard == ["d"]


def test_a_node_that_is_at_work_again_has_not_ended(store: Store) -> None:
    heard: list[str] = []
    failed = replace(deployment("d", "n1", 1.0), state="failed", ended=5.0)
    store.save_deployment(failed)
    store.save_deployment(replace(failed, state="active", ended=None))
    endings = Endings(store, [lambda found: heard.extend(ids(list(found)))])
    endings.tick()
    assert heard == []
    store.save_deployment(replace(failed, ended=8.0))
    endings.tick()
    assert heard == ["d"]


def test_what_an_heir_cannot_take_is_kept_for_the_next_tick(store: Store) -> None:
    store.save_deployment(ended(1))
    tries: list[int] = []

    def heir(found: object) -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise ZeroDivisionError

    endings = Endings(store, [heir])
    with pytest.raises(ZeroDivisionError):
        endings.tick()
    endings.tick()
    endings.tick()
    assert tries == [0, 1]
