# SPDX-License-Identifier: GPL-2.0-or-later
"""Who loads the installer next, and from whom."""

import pytest
from tests.bench.bootmodel import Site, play

from swarmstrap.wire import Passing
from swarmstrap_server.netboot.turns import PEER_TRANSFERS, Turns

KERNEL, INITRAMFS = "c0de", "f11e"


def serving(port: int = 8080, transfers: int = 0) -> Passing:
    return Passing(port=port, holds=(KERNEL, INITRAMFS), transfers=transfers)


def admitted(turns: Turns, copies: int, now: float = 0.0) -> list[str]:
    return [f"n{n}" for n in range(10) if turns.admit(f"n{n}", copies, now)]


def test_as_many_load_at_a_time_as_the_server_sends_copies() -> None:
    assert admitted(Turns(), copies=3) == ["n0", "n1", "n2"]


def test_a_peer_makes_room_for_more() -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.9", serving(), 0.0)
    assert len(admitted(turns, copies=1)) == 1 + PEER_TRANSFERS


def test_a_peer_that_has_nothing_yet_makes_no_room() -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.9", Passing(), 0.0)
    assert len(admitted(turns, copies=1)) == 1
    assert turns.source(KERNEL, 0.0) is None


def test_a_place_is_free_when_the_transfer_is_over() -> None:
    turns = Turns()
    assert turns.admit("a", 1, 0.0)
    turns.begin()
    turns.served("a")
    assert not turns.admit("b", 1, 1.0)
    turns.end()
    assert turns.admit("b", 1, 1.0)


def test_who_was_admitted_and_asks_again_is_not_counted_twice() -> None:
    turns = Turns()
    assert turns.admit("a", 1, 0.0)
    assert turns.admit("a", 1, 1.0)
    assert not turns.admit("b", 1, 1.0)


def test_the_place_of_a_node_that_never_came_is_free_after_a_minute() -> None:
    turns = Turns()
    assert turns.admit("a", 1, 0.0)
    assert not turns.admit("b", 1, 59.0)
    assert turns.admit("b", 1, 61.0)


def test_peers_take_turns_and_none_is_given_more_than_it_can_do() -> None:
    turns = Turns()
    for number in (1, 2):
        turns.heard(f"peer{number}", f"192.0.2.{number}", serving(), 0.0)
    one, two = (f"http://192.0.2.{number}:8080/{KERNEL}" for number in (1, 2))
    assert [turns.source(KERNEL, 0.0) for _ in range(5)] == [one, two, one, two, None]


def test_a_peer_of_the_same_rack_comes_first() -> None:
    turns = Turns()
    for number, rack in ((1, "east"), (2, "west")):
        turns.heard(f"peer{number}", f"192.0.2.{number}", serving(), 0.0, rack)
    west, east = (f"http://192.0.2.{number}:8080/{KERNEL}" for number in (2, 1))
    assert [turns.source(KERNEL, 0.0, "west") for _ in range(3)] == [west, west, east]


def test_what_a_peer_says_of_itself_replaces_what_was_counted() -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.1", serving(transfers=PEER_TRANSFERS), 0.0)
    assert turns.source(KERNEL, 0.0) is None
    turns.heard("peer", "192.0.2.1", serving(port=81, transfers=1), 1.0)
    assert turns.source(KERNEL, 1.0) == f"http://192.0.2.1:81/{KERNEL}"
    assert turns.source(KERNEL, 1.0) is None


def test_a_peer_is_not_named_for_what_it_does_not_hold() -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.1", serving(), 0.0)
    assert turns.source("another", 0.0) is None


@pytest.mark.parametrize("how", ["leaves", "silent"])
def test_a_peer_that_is_gone_is_not_named(how: str) -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.1", serving(), 0.0)
    if how == "leaves":
        turns.left("peer")
    assert turns.source(KERNEL, 1.0 if how == "leaves" else 9.0) is None


@pytest.mark.parametrize(("to_load", "asked"), [(0, 0), (5, 0), (6, 1), (7, 1), (12, 4), (500, 64)])
def test_nodes_are_asked_while_each_can_give_two_copies(to_load: int, asked: int) -> None:
    turns = Turns()
    for number in range(100):
        if turns.wants(f"n{number}", to_load, 4, 0.0):
            turns.heard(f"n{number}", "192.0.2.1", Passing(), 0.0)
    assert sum(turns.wants(f"n{number}", to_load, 4, 0.0) for number in range(100)) == asked


def test_a_peer_goes_on_until_the_last_node_has_come() -> None:
    turns = Turns()
    turns.heard("peer", "192.0.2.1", serving(), 0.0)
    assert turns.wants("peer", 1, 4, 1.0)
    turns.admit("last", 4, 1.0)
    assert turns.wants("peer", 0, 4, 1.0)
    turns.served("last")
    assert not turns.wants("peer", 0, 4, 1.0)


@pytest.mark.parametrize("nodes", [1, 2, 5, 16, 17, 40])
def test_a_few_nodes_lose_nothing_by_taking_turns(nodes: int) -> None:
    alone, _ = play(Site(nodes, 1e9, 1e9, 15.0, None))
    seconds, copies = play(Site(nodes, 1e9, 1e9, 15.0, 16))
    assert seconds <= 1.02 * alone
    assert copies == nodes


def test_many_nodes_are_served_by_each_other() -> None:
    alone, _ = play(Site(200, 1e9, 1e9, 15.0, None))
    seconds, copies = play(Site(200, 1e9, 1e9, 15.0, 16))
    assert seconds < alone / 2
    assert copies < 100
