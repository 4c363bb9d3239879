# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of a swarm: sparse, connected, near peers first, whoever comes and goes."""

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarmstrap_server.swarm.circles import Endpoint
from swarmstrap_server.swarm.neighbours import (
    FEW,
    GATEWAYS,
    JOINING,
    MOST,
    PEERS_A_GATEWAY,
    TO_FINISHED,
    WANTED,
    Neighbours,
)

INFOHASH = bytes(range(32))
Rack = Callable[[int], str]
Graph = Mapping[Endpoint, tuple[Endpoint, ...]]


def peer(number: int) -> Endpoint:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 6881


def in_one(_: int) -> str:
    return ""


def racks_of(size: int) -> Rack:
    return lambda number: f"r{number // size}"


def joined(count: int, rack: Rack = in_one, order: int = 1) -> Neighbours:
    graph = Neighbours(INFOHASH)
    numbers = list(range(count))
    random.Random(order).shuffle(numbers)
    for number in numbers:
        graph.meet(peer(number), left=9, rack=rack(number))
    return graph


def met(graph: Neighbours, numbers: range | list[int], rack: Rack = in_one, left: int = 9) -> Graph:
    """Who knows whom after all `numbers` have come again, and then once more to look."""
    for number in numbers:
        graph.meet(peer(number), left=left, rack=rack(number))
    return {peer(n): graph.meet(peer(n), left=left, rack=rack(n)) for n in numbers}


def reached(graph: Graph) -> int:
    """How many can be reached from the first."""
    seen = {next(iter(graph))}
    waiting = list(seen)
    while waiting:
        new = set(graph[waiting.pop()]) - seen
        seen |= new
        waiting += new
    return len(seen)


@pytest.mark.parametrize("count", [2, 3, FEW, FEW + 1])
def test_in_a_small_rack_everybody_knows_everybody(count: int) -> None:
    for known in met(joined(count), range(count)).values():
        assert len(known) == count - 1


@pytest.mark.parametrize("count", [FEW + 2, 16, 32, 100, 500, 2000])
def test_a_large_one_is_sparse_and_connected_at_the_first_word(count: int) -> None:
    graph = Neighbours(INFOHASH)
    told = {peer(n): graph.meet(peer(n), left=9) for n in range(count)}
    assert all(len(known) >= JOINING for known in list(told.values())[JOINING:])
    known = met(graph, range(count))
    assert reached(known) == count
    degrees = [len(neighbours) for neighbours in known.values()]
    assert WANTED <= min(degrees)
    assert max(degrees) <= MOST
    assert sum(degrees) / count < 14


def test_links_are_mutual_and_nobody_is_its_own_neighbour() -> None:
    known = met(joined(200, racks_of(20)), range(200), racks_of(20))
    for one, neighbours in known.items():
        assert one not in neighbours
        assert len(set(neighbours)) == len(neighbours)
        assert all(one in known[other] for other in neighbours)


def test_nobody_is_told_of_ever_new_peers() -> None:
    graph = joined(300)
    before = met(graph, range(300))
    assert met(graph, range(300)) == before
    after = met(graph, range(600))
    for one, neighbours in before.items():
        assert set(neighbours) <= set(after[one])
        assert len(after[one]) <= MOST


def test_any_order_and_a_lost_memory_give_nearly_the_same_graph() -> None:
    first = met(joined(500, order=1), range(500))
    second = met(joined(500, order=2), range(500))
    same = sum(len(set(first[one]) & set(second[one])) for one in first)
    # Two random graphs of this degree share 2 or 3 of a hundred.
    assert same > 0.35 * sum(map(len, first.values()))


def test_who_is_gone_is_replaced_when_its_neighbours_come_next() -> None:
    graph = joined(400)
    met(graph, range(400))
    staying = [number for number in range(400) if number % 2]
    for number in range(0, 400, 2):
        graph.leave(peer(number))
        graph.leave(peer(number))
    known = met(graph, staying)
    assert len(graph) == len(known) == reached(known) == 200
    assert min(map(len, known.values())) >= WANTED


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    size=st.sampled_from([1, 4, 16, 40, 5000]),
    count=st.integers(2, 2000),
    leaving=st.floats(0, 0.6),
)
@example(seed=1, size=4, count=504, leaving=0.46875)  # a rack of gateways without room
def test_whoever_comes_and_goes_it_stays_connected_and_of_bounded_degree(
    seed: int, size: int, count: int, leaving: float
) -> None:
    chance = random.Random(seed)
    graph, rack = Neighbours(INFOHASH), racks_of(size)
    here: list[int] = []
    for number in range(count):
        assert len(graph.meet(peer(number), left=9, rack=rack(number))) <= MOST
        here.append(number)
        if chance.random() < leaving:
            graph.leave(peer(here.pop(chance.randrange(len(here)))))
        if here:
            again, stalled = chance.choice(here), chance.random() < 0.1
            told = graph.meet(peer(again), left=9, rack=rack(again), stalled=stalled)
            assert len(told) <= MOST
    if here:
        known = met(graph, here, rack)
        assert reached(known) == len(here)
        assert max(map(len, known.values())) <= MOST


@pytest.mark.parametrize(("size", "racks"), [(8, 2), (8, 20), (40, 2), (40, 25)])
def test_few_peers_of_a_rack_know_other_racks_and_those_join_all(size: int, racks: int) -> None:
    count, rack = size * racks, racks_of(size)
    known = met(joined(count, rack), range(count), rack)
    assert reached(known) == count
    name = {peer(number): rack(number) for number in range(count)}
    outside = {
        one: [other for other in neighbours if name[other] != name[one]]
        for one, neighbours in known.items()
    }
    gateways = [one for one, others in outside.items() if others]
    for number in range(racks):
        of_rack = [one for one in gateways if name[one] == f"r{number}"]
        assert 1 <= len(of_rack) <= min(GATEWAYS, 1 + size // PEERS_A_GATEWAY)
    for others in outside.values():
        assert len({name[other] for other in others}) == len(others)


def test_a_rack_whose_gateway_is_gone_gets_another_and_a_stalled_peer_is_one() -> None:
    rack = racks_of(8)
    graph = joined(16, rack)
    met(graph, range(16), rack)
    gateways = [n for n in range(8) if graph.is_gateway(peer(n))]
    helped = next(n for n in range(8) if n not in gateways)
    graph.meet(peer(helped), left=9, rack="r0", stalled=True)
    assert graph.is_gateway(peer(helped))
    gone = {*gateways, helped}
    for number in gone:
        graph.leave(peer(number))
    staying = [number for number in range(16) if number not in gone]
    assert reached(met(graph, staying, rack)) == len(staying)


def test_a_newcomer_is_told_of_those_who_have_something() -> None:
    graph = Neighbours(INFOHASH)
    for number in range(200):
        graph.meet(peer(number), left=9)
    for number in range(100):
        graph.meet(peer(number), left=0 if number < 30 else 4)
    told = graph.meet(peer(1000), left=9)
    assert len(told) == JOINING
    assert len(set(told) & {peer(n) for n in range(30)}) >= TO_FINISHED
    assert set(told) <= {peer(n) for n in range(100)}


def test_finished_peers_are_not_told_of_each_other() -> None:
    graph = joined(40)
    met(graph, range(40))
    known = met(graph, range(20), left=0)
    finished = {peer(number) for number in range(20)}
    assert not any(set(neighbours) & finished for neighbours in known.values())
    assert graph.finished == 20
    graph.leave(peer(0))
    assert graph.finished == 19


def test_a_peer_that_was_reset_begins_anew() -> None:
    graph = joined(40)
    met(graph, [3, 4], left=0)
    assert graph.finished == 2
    graph.meet(peer(3), left=9)
    assert graph.finished == 1
    graph.meet(peer(4), left=9)
    graph.leave(peer(4))
    assert graph.finished == 0


def test_a_peer_that_moved_to_another_rack_is_one_peer() -> None:
    graph = joined(10)
    graph.meet(peer(3), left=9, rack="elsewhere")
    assert len(graph) == 10
    assert len(graph.meet(peer(3), left=9, rack="")) == 9
