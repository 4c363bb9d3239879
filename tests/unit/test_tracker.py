# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracker's answers, byte for byte."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes

import libtorrent as lt
import pytest

from swarmstrap_server.swarm.announces import bencode
from swarmstrap_server.swarm.neighbours import JOINING, MOST, WANTED
from swarmstrap_server.swarm.tier import Placed
from swarmstrap_server.swarm.tracker import (
    GONE_SECONDS,
    INTERVAL_SECONDS,
    MOST_STRANGERS,
    SOONER,
    Tracker,
)

# Bytes that are no text, `%`, `&`, `=` and `+` among them: all must survive the query string.
FULL = bytes(range(30, 62))
INFOHASH = bytes([0, 255, 37, 38, 61, 43, 32, 10, 13, 128, *range(65, 75)])
SEEDER = ("192.0.2.1", 6881)
SECOND = ("192.0.2.2", 6881)
STRANGER = "203.0.113.9"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracker(clock: Clock) -> Tracker:
    tracker = Tracker(
        SEEDER,
        clock,
        others=[Placed(SECOND)],
        rack_of=lambda address: None if address == STRANGER else "",
    )
    tracker.track([(INFOHASH + bytes(12)).hex(), FULL.hex()])
    return tracker


def query(port: int = 5000, left: int = 1, infohash: bytes = INFOHASH, **more: str) -> str:
    fields = {
        "info_hash": quote_from_bytes(infohash, safe=""),
        "peer_id": "-LT2110-abcdefghijkl",
        "port": str(port),
        "left": str(left),
        **more,
    }
    return "&".join(f"{key}={value}" for key, value in fields.items())


def ask(tracker: Tracker, address: str, text: str) -> Mapping[Any, object]:
    answer = lt.bdecode(tracker.announce(text, address))
    assert isinstance(answer, dict)
    return answer


def peers(answer: Mapping[Any, object]) -> list[tuple[str, int]]:
    data = answer[b"peers"]
    assert isinstance(data, bytes)
    return [
        (".".join(map(str, data[at : at + 4])), int.from_bytes(data[at + 4 : at + 6], "big"))
        for at in range(0, len(data), 6)
    ]


def test_everybody_hears_of_the_seeder_and_of_the_others(tracker: Tracker) -> None:
    assert peers(ask(tracker, "192.0.2.7", query())) == [SEEDER]
    assert peers(ask(tracker, "192.0.2.8", query())) == [SEEDER, ("192.0.2.7", 5000)]
    seeder = ask(tracker, SEEDER[0], query(port=SEEDER[1], left=0))
    assert sorted(peers(seeder)) == [("192.0.2.7", 5000), ("192.0.2.8", 5000)]


def test_swarms_are_apart_and_v2_hashes_are_cut_to_20_bytes(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query())
    assert peers(ask(tracker, "192.0.2.8", query(infohash=FULL[:20]))) == [SEEDER]


def test_counts_and_interval(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query(left=0))
    answer = ask(tracker, "192.0.2.8", query())
    assert (answer[b"complete"], answer[b"incomplete"]) == (1, 1)
    assert answer[b"interval"] == answer[b"min interval"] == INTERVAL_SECONDS


def test_who_stops_is_gone_and_hears_of_nobody(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query())
    assert peers(ask(tracker, "192.0.2.7", query(event="stopped"))) == []
    assert peers(ask(tracker, "192.0.2.8", query())) == [SEEDER]


def test_who_falls_silent_is_gone(tracker: Tracker, clock: Clock) -> None:
    ask(tracker, "192.0.2.7", query())
    clock.now += GONE_SECONDS
    assert peers(ask(tracker, "192.0.2.8", query())) == [SEEDER]


def test_who_has_everything_is_told_of_those_who_have_not(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query(left=0))
    assert peers(ask(tracker, "192.0.2.8", query(left=0))) == []
    assert len(peers(ask(tracker, "192.0.2.9", query()))) == 3
    assert peers(ask(tracker, "192.0.2.8", query(left=0))) == [("192.0.2.9", 5000)]


def test_the_claimed_address_is_ignored(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query(ip="203.0.113.9"))
    assert ("192.0.2.7", 5000) in peers(ask(tracker, "192.0.2.8", query()))


def test_numwant(tracker: Tracker) -> None:
    for host in range(1, 20):
        ask(tracker, f"198.51.100.{host}", query())
    assert len(peers(ask(tracker, "192.0.2.8", query(numwant="3")))) == 3
    assert len(peers(ask(tracker, "192.0.2.8", query(numwant="0")))) == 0
    assert len(peers(ask(tracker, "192.0.2.8", query(numwant="999999")))) == 11


def test_thousands_of_strangers_are_among_themselves(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query())
    for port in range(1, 2 * MOST_STRANGERS):
        seeder, *others = peers(ask(tracker, STRANGER, query(port=port)))
        assert seeder == SEEDER
        assert {address for address, _ in others} <= {STRANGER}
        assert len(others) <= MOST
    assert peers(ask(tracker, "192.0.2.8", query())) == [SEEDER, ("192.0.2.7", 5000)]
    assert tracker.peers == 2 + MOST_STRANGERS
    assert tracker.counters.strangers == 2 * MOST_STRANGERS - 1


def test_strangers_share_what_they_have(tracker: Tracker) -> None:
    ask(tracker, STRANGER, query(port=1))
    assert peers(ask(tracker, STRANGER, query(port=2))) == [SEEDER, (STRANGER, 1)]
    assert peers(ask(tracker, STRANGER, query(port=1, left=0))) == [(STRANGER, 2)]


def test_a_stranger_that_gets_a_job_is_a_node(clock: Clock) -> None:
    known: set[str] = set()
    tracker = Tracker(SEEDER, clock, rack_of=lambda address: "" if address in known else None)
    tracker.track([FULL.hex()])
    text = query(infohash=FULL[:20])
    for host in ("192.0.2.7", "192.0.2.8"):
        ask(tracker, host, text)
    known |= {"192.0.2.7", "192.0.2.9"}
    assert peers(ask(tracker, "192.0.2.7", text)) == [SEEDER]
    assert peers(ask(tracker, "192.0.2.9", text)) == [SEEDER, ("192.0.2.7", 5000)]
    assert tracker.peers == 3


def test_a_second_seeder_is_named_while_it_has_the_image(tracker: Tracker, clock: Clock) -> None:
    def named() -> set[object]:
        hosts = (f"198.51.100.{host}" for host in range(4))
        return {peers(ask(tracker, host, query(event="started")))[0] for host in hosts}

    assert named() == {SEEDER}
    ask(tracker, SECOND[0], query(port=SECOND[1], left=7))
    assert named() == {SEEDER}
    ask(tracker, SECOND[0], query(port=SECOND[1], left=0))
    for host in range(4):
        ask(tracker, f"198.51.100.{host}", query(event="stopped"))
    assert named() == {SEEDER, SECOND}
    clock.now += GONE_SECONDS
    assert named() == {SEEDER}


def test_who_stands_still_is_told_of_every_seeder(tracker: Tracker, clock: Clock) -> None:
    ask(tracker, SECOND[0], query(port=SECOND[1], left=0))
    assert len(peers(ask(tracker, "192.0.2.7", query(left=5)))) == 1
    clock.now += 9
    assert len(peers(ask(tracker, "192.0.2.7", query(left=4)))) == 1
    clock.now += 9
    assert len(peers(ask(tracker, "192.0.2.7", query(left=4)))) == 1
    clock.now += 1
    assert peers(ask(tracker, "192.0.2.7", query(left=4))) == [SEEDER, SECOND]


def test_in_a_large_swarm_the_interval_grows_and_nobody_is_lost(clock: Clock) -> None:
    tracker = Tracker(SEEDER, clock)
    tracker.track([FULL.hex()])
    text = query(infohash=FULL[:20])
    hosts = [f"10.0.{number >> 8}.{number & 255}" for number in range(4000)]
    answers = [ask(tracker, host, text) for host in hosts]
    assert answers[0][b"interval"] == INTERVAL_SECONDS
    clock.now += 20
    answers = [ask(tracker, host, text) for host in hosts]
    assert {answer[b"interval"] for answer in answers} == {20}
    assert answers[-1][b"min interval"] == INTERVAL_SECONDS
    assert tracker.peers == 4000
    clock.now += 50
    ask(tracker, hosts[0], text)
    assert tracker.peers == 1


def test_who_lacks_neighbours_comes_again_soon_to_be_told_of_the_rest(tracker: Tracker) -> None:
    answers = [ask(tracker, f"192.0.2.{number}", query()) for number in range(10, 50)]
    last = answers[-1]
    assert len(peers(last)) == 1 + JOINING
    assert last[b"interval"] == last[b"min interval"] == INTERVAL_SECONDS // SOONER
    again = ask(tracker, "192.0.2.49", query())
    assert len(peers(again)) == 1 + WANTED
    assert again[b"interval"] == INTERVAL_SECONDS


def test_an_image_that_is_gone_is_not_tracked(tracker: Tracker) -> None:
    ask(tracker, "192.0.2.7", query())
    tracker.track([FULL.hex()])
    assert b"failure reason" in ask(tracker, "192.0.2.7", query())
    assert tracker.peers == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "info_hash=abc",
        query(port=0),
        query(port=65536),
        query().replace("port=5000", "port=x"),
        query().replace("port=5000&", ""),
        query(left=-1),
        query(numwant="9" * 30),
        query().replace("-LT", "-L"),
        "%",
        "&&&===",
    ],
)
def test_what_is_no_announce_gets_a_failure_reason(tracker: Tracker, text: str) -> None:
    answer = ask(tracker, "192.0.2.7", text)
    assert list(answer) == [b"failure reason"]
    assert tracker.counters.refused == 1


def test_bencode_as_libtorrent_reads_it() -> None:
    value = {b"b": 1, b"a": [-2, b"", {b"x": b"\xff"}]}
    assert lt.bdecode(bencode(value)) == value  # type: ignore[arg-type]
    assert bencode({b"b": 1, b"a": 2}) == b"d1:ai2e1:bi1ee"
