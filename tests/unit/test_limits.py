# SPDX-License-Identifier: GPL-2.0-or-later
"""How near a fetch came to what the hardware allows, and what held it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.making import deployment

from swarmstrap.limits import Demand, Limit, Resource, limit, node_demands
from swarmstrap.wire import Event, Usage
from swarmstrap_server.control.limits import already_out, node_limit, run_of, runs
from swarmstrap_server.control.nodes import Deployment, after_event, started

MB = 10**6
GIGABIT = 125 * MB
ARMED = deployment("n1", "n1", 0.0, payload=1000 * MB)


def fetched(name: str = "n1", began: float = 1000.0, /, **usage: float) -> Deployment:
    """A node of 4 cores that has had 1,000 MB over 1 Gbit/s: 8 seconds of its link."""
    values: dict[str, float] = {"seconds": 10.0, "link_rate": GIGABIT, "cores": 4, **usage}
    return replace(
        ARMED,
        id=name,
        node=name,
        state="active",
        fetched=True,
        from_seeder=600 * MB,
        from_peers=400 * MB,
        began=began,
        usage=msgspec.convert(values, Usage),
    )


def found(deployment: Deployment) -> tuple[float, Resource, bool]:
    told = node_limit(deployment)
    assert told is not None
    return round(told.ratio, 2), told.resource, told.estimated


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, (1.25, "node link", False)),
        ({"disk": 9.5}, (1.05, "disk", False)),
        ({"disk": 7.9}, (1.25, "node link", False)),
        ({"processor": 38.0}, (1.05, "processor", False)),
        # One thread that is never idle is the limit, however many cores are.
        ({"processor": 12.0, "thread": 9.8}, (1.02, "processor", False)),
        ({"link_rate": 0, "best_rate": 104 * MB}, (1.04, "node link", True)),
        ({"link_rate": 0, "best_rate": 104 * MB, "disk": 8.5}, (1.04, "node link", True)),
        # A measured one goes before an estimate that is hardly above it.
        ({"link_rate": 0, "best_rate": 104 * MB, "disk": 9.0}, (1.11, "disk", False)),
        ({"link_rate": 0, "best_rate": 0, "processor": 4.0}, (10.0, "processor", False)),
        # What the NIC says it can counts, not what came.
        ({"link_rate": 10 * GIGABIT, "best_rate": 104 * MB, "disk": 2.0}, (5.0, "disk", False)),
    ],
)
def test_the_resource_with_the_most_to_do_binds(
    usage: dict[str, float], expected: tuple[float, str, bool]
) -> None:
    assert found(fetched(**usage)) == expected


def test_the_seeders_link_is_told_from_the_nodes_own() -> None:
    slow = replace(fetched(), uplink=GIGABIT // 2)
    assert found(replace(slow, usage=Usage(seconds=16.8, link_rate=GIGABIT))) == (
        1.05,
        "seeder link",
        False,
    )
    # Who joins when others have most of it waits for little of the seeder.
    assert found(replace(slow, out=0.9)) == (1.25, "node link", False)


def test_nobody_guesses_what_is_not_known() -> None:
    told = node_limit(fetched(link_rate=0, processor=1.0))
    assert told is not None
    unknown = {demand.resource for demand in told.demands if demand.seconds is None}
    assert unknown == {"seeder link", "node link", "disk"}
    assert told.sentence() == (
        "10.0 s, 40.00 x processor: processor 0.2 s, seeder link unknown, node link unknown, "
        "disk unknown"
    )
    assert node_limit(fetched(link_rate=0)) is None
    assert node_limit(ARMED) is None


def test_in_words() -> None:
    told = node_limit(fetched(link_rate=0, best_rate=104 * MB, disk=3.0, processor=4.0))
    assert told is not None
    assert str(told) == "~1.04 x node link"
    assert told.sentence() == (
        "10.0 s, ~1.04 x node link: node link ~9.6 s, disk 3.0 s, processor 1.0 s, "
        "seeder link unknown"
    )


def test_it_survives_the_record() -> None:
    told = node_limit(fetched(disk=3.0))
    assert msgspec.json.decode(msgspec.json.encode(told), type=Limit) == told
    kept = fetched(disk=3.0)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Deployment) == kept


used = st.builds(
    lambda seconds, link, cores, busy, thread, disk: Usage(
        seconds=seconds,
        link_rate=link,
        cores=cores,
        processor=busy * seconds * cores,
        thread=thread * seconds,
        disk=None if disk is None else disk * seconds,
    ),
    seconds=st.floats(0.1, 1e5),
    link=st.integers(0, 10**11),
    cores=st.integers(1, 256),
    busy=st.floats(0.0, 1.0),
    thread=st.floats(0.0, 1.0),
    disk=st.none() | st.floats(0.0, 1.0),
)


@given(used, st.floats(0.0, 1.0))
def test_nothing_is_faster_than_its_limit(usage: Usage, filled: float) -> None:
    """When a capacity is true, no more than that went through in the time that it took."""
    received = int(usage.link_rate * usage.seconds * filled)
    told = limit(usage.seconds, node_demands(usage, received))
    assert told is None or told.ratio >= 0.999999


@given(used, st.integers(1, 10**13), st.integers(0, 10**12), st.floats(0.0, 1e4))
def test_more_work_is_never_a_lower_bound(usage: Usage, sent: int, more: int, busy: float) -> None:
    def bound(usage: Usage, received: int) -> float:
        told = limit(usage.seconds, node_demands(usage, received))
        return told.bound if told else 0.0

    before = bound(usage, sent)
    assert bound(usage, sent + more) >= before
    assert bound(replace(usage, processor=usage.processor + busy), sent) >= before
    assert bound(replace(usage, disk=(usage.disk or 0.0) + busy), sent) >= before


def test_a_run_ends_with_its_last_node() -> None:
    nodes = [replace(fetched(f"n{i}", seconds=8.0 + i), uplink=GIGABIT) for i in range(3)]
    run = run_of(nodes)
    assert (run.nodes, run.began, run.seconds) == (("n0", "n1", "n2"), 1000.0, 10.0)
    assert (run.from_seeder, run.from_peers, run.running) == (1800 * MB, 1200 * MB, False)
    assert run.limit is not None
    # One copy, not three: all that a swarm needs of its seeder.
    assert run.limit.bound == 8.0
    assert str(run.limit) == "1.25 x seeder link"


def test_a_late_joiner_is_not_the_swarms_fault() -> None:
    late = fetched("n2", 1005.0, seconds=8.5)
    run = run_of([fetched(), late])
    assert run.limit is not None
    assert (run.seconds, run.limit.bound) == (13.5, 13.0)
    assert str(run.limit) == "1.04 x node link"


def test_the_slowest_machine_binds_all_of_them() -> None:
    run = run_of([fetched(), fetched("n2", seconds=31.0, disk=30.0)])
    assert str(run.limit) == "1.03 x disk"


def test_fetches_that_overlap_are_one_run() -> None:
    first, second = fetched("n1"), fetched("n2", 1009.0)
    later, other = fetched("n3", 1020.0), replace(fetched("n4"), infohash="01")
    failed = replace(fetched("n5"), fetched=False, state="failed")
    named = [run.nodes for run in runs([later, second, failed, other, first, ARMED])]
    assert named == [("n1", "n2"), ("n4",), ("n3",)]


def event(sequence: int, seconds: float, **values: int) -> Event:
    return Event(
        sequence=sequence,
        time=9e9,
        kind="progress",
        name="do/image/4",
        progress=0.5,
        usage=Usage(seconds=seconds, **values),
        from_seeder=500 * MB,
        from_peers=0,
    )


def test_the_beginning_is_by_the_servers_clock_and_the_quickest_event() -> None:
    active = started(ARMED, 100.0, uplink=GIGABIT)
    assert active.uplink == GIGABIT
    late = after_event(active, event(1, 1.0), 203.0)
    assert late.began == 202.0
    assert after_event(late, event(2, 3.0), 203.5).began == 200.5
    assert after_event(late, event(2, 3.0), 299.0).began == 202.0
    # A second attempt begins anew.
    assert after_event(late, event(2, 0.9), 299.9).began == 299.0


def test_so_far_it_is_the_same_figure() -> None:
    half = after_event(started(ARMED, 100.0), event(1, 5.0, link_rate=GIGABIT), 105.0)
    assert found(half) == (1.25, "node link", False)


def test_what_others_have_need_not_be_sent() -> None:
    mine = started(ARMED, 0.0)
    half = replace(mine, id="n2", progress=0.5)
    other = replace(mine, id="n3", progress=0.9, infohash="01")
    assert already_out(mine, [mine]) == 0.0
    assert already_out(mine, [mine, half, other]) == 0.5
    assert already_out(mine, [half, replace(mine, id="n4", fetched=True)]) == 1.0


def test_a_demand_in_words() -> None:
    told = [Demand(resource="disk"), Demand(resource="disk", seconds=1.25, estimated=True)]
    assert [str(demand) for demand in told] == ["disk unknown", "disk ~1.2 s"]
