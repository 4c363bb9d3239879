# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes are booked once, to whom they came from, and only when their piece holds."""

from swarmstrap.ledger import BLOCK, Ledger, Received, piece_sizes

SEEDER, PEER, LIAR = "192.0.2.1", "192.0.2.7", "192.0.2.66"


def make_ledger() -> Ledger:
    return Ledger(piece_sizes((BLOCK + 1, 2 * BLOCK), 2 * BLOCK), frozenset({SEEDER}))


def test_every_file_begins_with_a_piece_of_its_own() -> None:
    assert piece_sizes((5, 8, 0, 9), 4) == (4, 1, 4, 4, 4, 4, 1)


def test_bytes_count_when_the_piece_holds() -> None:
    ledger = make_ledger()
    ledger.block(0, 0, SEEDER)
    ledger.block(0, 1, PEER)
    assert ledger.received == Received()
    ledger.verified(0)
    assert ledger.received == Received(from_seeder=BLOCK, from_peers=1)
    assert ledger.received.total == BLOCK + 1


def test_a_refused_piece_counts_once_it_holds_whether_or_not_all_of_it_came_again() -> None:
    ledger = make_ledger()
    ledger.block(1, 0, SEEDER)
    ledger.block(1, 1, LIAR)
    ledger.refused(1)
    assert ledger.received == Received(refused=1)
    ledger.block(1, 1, PEER)
    ledger.verified(1)
    assert ledger.received == Received(from_seeder=BLOCK, from_peers=BLOCK, refused=1)


def test_what_was_there_before_comes_from_nobody() -> None:
    ledger = make_ledger()
    ledger.verified(0)
    ledger.block(1, 0, PEER)
    ledger.block(1, 1, PEER)
    ledger.verified(1)
    assert ledger.received == Received(from_peers=2 * BLOCK, kept=BLOCK + 1)
    assert ledger.received.total == 3 * BLOCK + 1


def test_who_only_ever_had_a_part_in_bad_pieces_is_a_liar() -> None:
    ledger = make_ledger()
    ledger.block(0, 0, SEEDER)
    ledger.block(0, 1, LIAR)
    ledger.refused(0)
    ledger.block(1, 0, PEER)
    ledger.block(1, 1, LIAR)
    ledger.refused(1)
    assert ledger.liars == {PEER, LIAR}
    ledger.block(1, 1, PEER)
    ledger.verified(1)
    assert ledger.liars == {LIAR}
