# SPDX-License-Identifier: GPL-2.0-or-later
"""Every piece leaves the server once, whoever comes, goes and dies."""

from hypothesis import given
from hypothesis import strategies as st

from swarmstrap_server.swarm.dealing import Deal

ALL = (1 << 8) - 1


def make_deal(*nodes: str) -> Deal[str]:
    deal = Deal[str](8)
    for node in nodes:
        deal.join(node, has=0, lacks=ALL)
    return deal


def test_pieces_go_out_once_in_the_order_of_the_image() -> None:
    deal = make_deal("n1", "n2")
    assert [deal.next(node) for node in ("n1", "n2", "n2", "n1")] == [0, 1, 2, 3]
    assert [deal.next("n2") for _ in range(5)] == [4, 5, 6, 7, None]
    assert deal.next("n1") is None
    assert not deal.running


def test_what_a_node_brings_is_not_dealt() -> None:
    deal = make_deal("n1")
    deal.join("n2", has=0b0000_0111, lacks=ALL ^ 0b0000_0111)
    assert deal.next("n1") == 3


def test_a_node_gets_only_what_it_lacks() -> None:
    deal = Deal[str](8)
    deal.join("n1", has=0, lacks=0b1000_0010)
    assert [deal.next("n1") for _ in range(3)] == [1, 7, None]
    deal.join("n2", has=0, lacks=ALL)
    assert deal.running
    assert deal.next("n2") == 0


def test_pieces_beyond_the_last_are_nobodys() -> None:
    deal = Deal[str](2)
    deal.join("n1", has=0, lacks=0xFF)
    assert [deal.next("n1") for _ in range(3)] == [0, 1, None]


def test_a_piece_that_a_node_did_not_live_to_receive_is_dealt_again() -> None:
    deal = make_deal("n1", "n2")
    assert (deal.next("n1"), deal.next("n1"), deal.next("n2")) == (0, 1, 2)
    deal.leave("n1")
    assert deal.next("n2") == 1
    assert deal.next("n2") == 3


def test_a_late_node_gets_nothing_of_what_is_out_unless_all_have_gone() -> None:
    deal = make_deal("n1")
    while deal.next("n1") is not None:
        pass
    deal.join("late", has=0, lacks=ALL)
    assert deal.next("late") is None
    deal.leave("n1")
    assert deal.next("late") is None
    deal.leave("late")
    deal.join("next", has=0, lacks=ALL)
    assert deal.next("next") == 0


def test_a_node_far_before_the_others_waits() -> None:
    deal = make_deal("fast", "slow", "slower")
    for _ in range(3):
        deal.next("fast")
    assert not deal.ahead("fast")
    deal.next("fast")
    assert deal.ahead("fast")
    assert not deal.ahead("slow")
    for node in ("slow", "slower"):
        deal.next(node)
    assert not deal.ahead("fast")


def test_fast_nodes_among_as_many_slow_ones_wait_for_each_other_only() -> None:
    deal = make_deal("fast", "slow")
    for _ in range(7):
        deal.next("fast")
        assert not deal.ahead("fast")


@given(st.lists(st.tuples(st.sampled_from("join leave next".split()), st.integers(0, 5))))
def test_no_piece_is_dealt_twice_to_those_who_stay(moves: list[tuple[str, int]]) -> None:
    deal = Deal[int](8)
    given_out: dict[int, list[int]] = {}
    for move, node in moves:
        if move == "join" and node not in given_out:
            deal.join(node, has=0, lacks=ALL)
            given_out[node] = []
        elif move == "leave" and node in given_out:
            deal.leave(node)
            del given_out[node]
        elif move == "next" and node in given_out:
            piece = deal.next(node)
            if piece is not None:
                given_out[node].append(piece)
        out = [piece for pieces in given_out.values() for piece in pieces]
        assert len(out) == len(set(out))
    for node in given_out:
        while deal.next(node) is not None:
            pass
    assert not deal.running
