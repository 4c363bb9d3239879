# SPDX-License-Identifier: GPL-2.0-or-later
"""Events after an outage, the log that a node leaves, and how often many nodes may speak."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.http.agents import begin
from tests.http.conftest import Live

from swarmstrap.errors import SwarmstrapError
from swarmstrap.reporter import Reporter
from swarmstrap.wire import GAP, Event, Events, NodeLog, Seeding
from swarmstrap_server.cli import main
from swarmstrap_server.control import events, logs


def event(sequence: int, name: str = "look") -> Event:
    return Event(sequence=sequence, time=0.0, kind="log", name=name, description=str(sequence))


def told(live: Live, node: str = "n1") -> list[str]:
    """What the node said, without what the server says of it."""
    found = live.services.deployments.store.events(node)
    return [record.event.description for record in found if record.event.sequence]


async def test_a_batch_after_a_gap_is_taken_only_when_the_gap_is_filled(live: Live) -> None:
    api, _ = await begin(live)
    assert (await api.send(Events(events=(event(1),)))).sequence == 1
    assert (await api.send(Events(events=(event(4),), after=3))).sequence == 1
    assert told(live) == ["1"]
    again = Events(events=(event(2), event(3), event(4)), after=1)
    assert (await api.send(again)).sequence == 4
    assert (await api.send(again)).sequence == 4
    assert told(live) == ["1", "2", "3", "4"]
    counters = live.services.deployments.feed.counters
    assert (counters.events, counters.repeated, counters.behind) == (4, 3, 1)
    await api.close()


async def test_a_server_whose_power_went_hears_its_last_moments_again(live: Live) -> None:
    api, job = await begin(live)
    report = Reporter()
    report.connect(api.send)
    store = live.services.deployments.store
    report.log("one")
    assert await report.flush(5)
    before = store.deployment(job.deployment)
    report.log("two")
    report.log("three")
    assert await report.flush(5)
    assert before is not None
    store.save_deployment(before)
    store.execute("DELETE FROM events WHERE id > ?", store.events("n1")[-3].id)
    report.log("four")
    assert await report.flush(5)
    assert told(live) == ["one", "two", "three", "four"]
    await report.close()
    await api.close()


async def test_what_nobody_can_say_again_is_counted_as_a_gap(live: Live) -> None:
    api, _ = await begin(live)
    await api.send(Events(events=(event(9, GAP), event(10))))
    assert live.services.deployments.feed.counters.lost == 1
    await api.close()


async def test_progress_is_known_at_once_and_on_disk_with_the_next_tick(live: Live) -> None:
    api, job = await begin(live)
    deployments = live.services.deployments
    share = Event(sequence=1, time=0.0, kind="progress", name="do/image/1", progress=0.5)
    await api.send(Events(events=(share,)))
    query = "SELECT body FROM deployments WHERE id = ?"
    for view in (deployments.view("n1").deployment, deployments.store.last_arming("n1")):
        assert view is not None
        assert view.progress == 0.5
    (body,) = deployments.store.execute(query, job.deployment).fetchone()
    assert b'"progress":0.5' not in body
    deployments.tick()
    (body,) = deployments.store.execute(query, job.deployment).fetchone()
    assert b'"progress":0.5' in body
    await api.close()


async def test_many_nodes_are_asked_to_say_less(live: Live) -> None:
    api, job = await begin(live)
    assert (await api.send(Events(events=(event(1),)))).pause == 0.0
    store = live.services.deployments.store
    mine = store.deployment(job.deployment)
    assert mine is not None
    for number in range(2 * events.MOST_BATCHES_A_SECOND - 1):
        store.note_deployment(replace(mine, id=f"d{number}", node=f"x{number}"))
    assert (await api.send(Events(events=(event(2),)))).pause == 2.0
    await api.close()


async def test_the_log_of_a_node_is_kept_with_its_deployment(live: Live) -> None:
    api, job = await begin(live)
    store = live.services.deployments.store
    assert logs.newest_log(store, "n1") is None
    await api.keep_log(NodeLog(agent="first", kernel="[ 1.0] k"))
    await api.keep_log(NodeLog(agent="second é"))
    kept = logs.newest_log(store, "n1")
    assert kept == logs.log_of(store, job.deployment) == NodeLog(agent="second é")
    await api.close()


async def test_an_operator_reads_the_log(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SwarmstrapError, match="no node 'n1' left a log here"):
        await asyncio.to_thread(live.operator.node_log, "n1")
    api, _ = await begin(live)
    await api.keep_log(NodeLog(agent="line\nlast line", kernel="[ 1.0] k"))
    await api.close()
    command = ["--site", str(live.paths.root), "node", "log", "n1"]
    assert await asyncio.to_thread(main, command) == 0
    assert await asyncio.to_thread(main, [*command, "--kernel"]) == 0
    assert capsys.readouterr().out == "line\nlast line\n[ 1.0] k\n"


async def test_many_who_ask_whether_they_may_leave_are_looked_at_once(live: Live) -> None:
    api, job = await begin(live)
    store = live.services.deployments.store
    mine = store.deployment(job.deployment)
    assert mine is not None
    seeding = Seeding(uploaded=0, peers=0)
    store.note_deployment(replace(mine, phase="seed", fetched=True))
    for number in range(100):
        store.note_deployment(replace(mine, id=f"d{number}", node=f"x{number}", phase="image"))
    assert not (await api.seeding(seeding)).leave
    for deployment in list(store.active()):
        store.note_deployment(replace(deployment, fetched=True))
    async with asyncio.timeout(10):
        while not (await api.seeding(seeding)).leave:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await api.close()
