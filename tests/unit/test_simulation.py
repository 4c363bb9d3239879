# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulation of large swarms: what must come out of it can be worked out by hand."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.bench.simulation.clock import Clock
from tests.bench.simulation.pieces import Pieces
from tests.bench.simulation.site import Behaviour, Image, Run, Site
from tests.bench.simulation.swarm import simulate
from tests.bench.simulation.unchoking import Unchoking
from tests.bench.simulation.wires import Wires

IMAGE = Image(size=100_000_000, pieces=200)
# 100 MB, 1 Gbit/s, payload only.
COPY = 0.8


SITE = Site(nodes=1, seeder_link=1e9, goodput=1.0)


def run(site: Site, *, leave: bool = False) -> Run:
    return Run(site=site, image=IMAGE, leave=leave)


def test_one_node_takes_one_copy_through_its_link() -> None:
    outcome = simulate(run(SITE))
    assert outcome.seconds[0] == pytest.approx(COPY, rel=0.01)
    assert outcome.seeder_copies == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("dealing", [True, False])
def test_many_nodes_take_little_longer_and_the_seeder_sends_about_one_copy(dealing: bool) -> None:
    of = replace(run(replace(SITE, nodes=24)), behaviour=Behaviour(dealing=dealing))
    outcome = simulate(of)
    assert COPY < max(outcome.seconds) < 1.6 * COPY
    assert 1 <= outcome.seeder_copies < 1.5


def test_no_run_is_faster_than_its_links() -> None:
    """The seeder's link is a fourth of a node's."""
    outcome = simulate(run(replace(SITE, nodes=12, seeder_link=0.25e9)))
    assert min(outcome.seconds) >= 4 * COPY * 0.99


def test_a_slow_node_takes_as_long_as_its_link_and_keeps_nobody() -> None:
    site = replace(SITE, nodes=20, slow_nodes=1, slow_link=1e8, seeder_link=1e10)
    outcome = simulate(run(site))
    assert outcome.seconds[0] == pytest.approx(10 * COPY, rel=0.2)
    assert max(outcome.seconds[1:]) < 1.7 * COPY


def test_one_who_comes_late_is_served_by_those_who_are_done() -> None:
    outcome = simulate(replace(run(replace(SITE, nodes=20)), late={19: 5.0}))
    assert outcome.seconds[19] < 2 * COPY


def test_everybody_is_served_when_nodes_leave_as_soon_as_they_are_done() -> None:
    site = replace(SITE, nodes=40, slow_nodes=2, slow_link=2e8)
    outcome = simulate(run(site, leave=True))
    assert min(outcome.seconds) >= COPY * 0.99


def test_a_rack_gets_a_few_copies_not_one_for_each_node() -> None:
    outcome = simulate(run(replace(SITE, nodes=60, rack_size=20, oversubscription=4)))
    assert len(outcome.into_rack) == 3
    assert all(1 <= copies < 10 for copies in outcome.into_rack)


def test_the_same_run_gives_the_same_seconds_in_every_process() -> None:
    script = (
        "from tests.unit.test_simulation import *;"
        "print(simulate(run(replace(SITE, nodes=30, rack_size=10), leave=True)))"
    )
    found = {_printed(script, seed) for seed in ("1", "2")}
    assert len(found) == 1
    assert "Outcome" in found.pop()


def _printed(script: str, seed: str) -> str:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join([".", "agent", "server"]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_what_is_due_first_happens_first_and_what_never_ends_is_named() -> None:
    clock, happened = Clock(), list[int]()
    clock.at(2.0, happened.append, 2)
    clock.at(1.0, happened.append, 1)
    clock.at(1.0, happened.append, 11)
    clock.run(until=3.0)
    assert happened == [1, 11, 2]
    clock.at(9.0, happened.append, 9)
    with pytest.raises(TimeoutError, match="append"):
        clock.run(until=3.0)


def test_the_rarest_piece_is_the_one_that_fewest_neighbours_have() -> None:
    pieces = Pieces(nodes=3, seeders=1, pieces=3, seed=1)
    pieces.meet(0, [1, 2])
    pieces.arrived(1, 0)
    pieces.arrived(2, 0)
    pieces.arrived(1, 1)
    assert pieces.rarest(0, 1) == 1
    assert pieces.rarest(0, 2) == 0
    assert pieces.rarest(0, 3) == 2  # the seeder's, which counts for nobody
    pieces.asked(0, 1)
    assert pieces.rarest(0, 1) == 0
    pieces.lost(0, 1)
    pieces.part(1, [0, 2])
    assert pieces.rarest(0, 1) == 1


def test_a_wire_carries_one_piece_after_another() -> None:
    site = Site(nodes=3, link=8e6, seeder_link=8e6, rack_size=2, oversubscription=2, goodput=1.0)
    wires = Wires(site, Image(size=4_000_000, pieces=4))  # a second on every link, racks included
    assert wires.send(0, 1, 0.0) == 1
    assert wires.send(0, 2, 0.0) == 2
    assert wires.send(3, 2, 0.0) == 3
    assert wires.free(0) == 2
    assert wires.into_rack == [0, 2]
    assert wires.out_of_rack == [1, 0]


def test_slots_go_round() -> None:
    slots = Unchoking(slots=2)
    for node in range(5):
        slots.join(node)
    seen = [slots.nodes]
    for _ in range(2):
        slots.rotate()
        seen.append(slots.nodes)
    assert seen == [(0, 1), (2, 3), (4, 0)]
    slots.leave(4)
    slots.leave(1)
    assert not slots.serves(4)
    slots.paused = True
    assert not slots.serves(0)
