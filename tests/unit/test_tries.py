# SPDX-License-Identifier: GPL-2.0-or-later
"""How long an address waits that showed wrong tokens, by the test's clock."""

import pytest

from swarmstrap_server.control.tries import (
    FORGET_SECONDS,
    FREE,
    LONGEST_SECONDS,
    MOST_ADDRESSES,
    Tries,
)


class Timed:
    def __init__(self) -> None:
        self.now = 1000.0
        self.tries = Tries(lambda: self.now)

    def refuse(self, address: str, times: int = 1) -> None:
        for _ in range(times):
            self.tries.refused(address)


@pytest.fixture
def timed() -> Timed:
    return Timed()


def test_the_first_tries_are_free_and_pauses_double_up_to_the_longest(timed: Timed) -> None:
    pauses = []
    for _ in range(FREE + 8):
        timed.refuse("a")
        pauses.append(timed.tries.pause("a"))
        timed.now += pauses[-1]
        assert timed.tries.pause("a") == 0
    assert pauses[FREE - 2 :] == [0, 1, 2, 4, 8, 16, 32, LONGEST_SECONDS, *[LONGEST_SECONDS] * 2]


def test_a_pause_passes_with_time(timed: Timed) -> None:
    timed.refuse("a", FREE + 2)
    timed.now += 3
    assert timed.tries.pause("a") == 1


def test_nobody_waits_for_another_address(timed: Timed) -> None:
    timed.refuse("a", 100)
    assert timed.tries.pause("b") == 0


def test_a_right_token_begins_anew(timed: Timed) -> None:
    timed.refuse("a", FREE - 1)
    timed.tries.accepted("a")
    timed.tries.accepted("never-refused")
    timed.refuse("a", FREE - 1)
    assert timed.tries.pause("a") == 0


def test_what_was_long_ago_does_not_count(timed: Timed) -> None:
    timed.refuse("a", FREE + 6)
    timed.now += FORGET_SECONDS
    timed.refuse("a")
    assert timed.tries.pause("a") == 0


def test_memory_is_bounded_and_the_latest_are_kept(timed: Timed) -> None:
    timed.refuse("old", FREE)
    timed.refuse("busy", FREE)
    for number in range(MOST_ADDRESSES - 1):
        timed.refuse(f"other-{number}")
        timed.refuse("busy")
    assert len(timed.tries) == MOST_ADDRESSES
    assert timed.tries.pause("busy") == LONGEST_SECONDS
    assert timed.tries.pause("old") == 0
