# SPDX-License-Identifier: GPL-2.0-or-later
"""When a node that has the image may leave: enough stay, and no more than that."""

from collections.abc import Sequence

import pytest
from tests.unit import making

from swarmstrap.wire import Release
from swarmstrap_server.control.nodes import ABSENCE_SECONDS, Deployment
from swarmstrap_server.control.release import FEWEST, need_of, release, servers_wanted

NOW = 1000.0


def deployment(number: int, phase: str, **more: object) -> Deployment:
    given = {"state": "active", "started": float(number), "heard": NOW, "payload": 1 << 30}
    words = {**given, "phase": phase, "fetched": phase == "seed", **more}
    return making.deployment(f"d{number:04}", f"n{number}", 0.0, **words)


def fetching(first: int, count: int, progress: float | None = 0.0) -> list[Deployment]:
    return [deployment(n, "image", progress=progress) for n in range(first, first + count)]


def seeding(count: int, first: int = 0) -> list[Deployment]:
    return [deployment(number, "seed") for number in range(first, first + count)]


def ask(
    mine: Deployment, active: Sequence[Deployment], seeders: int = 0, racks: int = 1
) -> Release:
    def rack_of(node: str) -> str:
        return str(int(node[1:]) % racks)

    need = need_of(mine.infohash, active, NOW, rack_of)
    return release(mine, need, seeders=seeders, rack=rack_of(mine.node))


def staying(active: Sequence[Deployment], seeders: int = 0, racks: int = 1) -> list[str]:
    """Those that seed and may not leave, all asked at once."""
    return [
        mine.node
        for mine in active
        if mine.phase == "seed" and not ask(mine, active, seeders, racks).leave
    ]


@pytest.mark.parametrize(
    ("finished", "still_fetching", "progress", "seeders", "stay"),
    [
        (10, 0, None, 0, 0),
        (500, 1, 0.5, 1, 0),  # nobody waits for one that the seeder serves
        (500, 1, 0.5, 0, FEWEST),  # the server is gone
        (500, 3, 0.5, 2, FEWEST),
        (3, 1, 0.5, 0, 3),
        (2, 30, 0.1, 1, 2),
        (500, 100, 0.5, 1, 100),
        (500, 100, 0.99, 1, FEWEST),
        (500, 100, None, 1, 200),
        (10, 12, 0.0, 12, 0),
    ],
)
def test_how_many_stay(
    finished: int, still_fetching: int, progress: float | None, seeders: int, stay: int
) -> None:
    active = seeding(finished) + fetching(1000, still_fetching, progress)
    assert len(staying(active, seeders)) == stay


def test_those_that_began_first_leave_first() -> None:
    active = seeding(20) + fetching(100, 2)
    assert staying(active) == ["n16", "n17", "n18", "n19"]


def test_those_of_the_racks_where_somebody_fetches_stay() -> None:
    active = [*seeding(20), *(deployment(n, "image") for n in (100, 105))]
    assert staying(active, racks=5) == ["n0", "n5", "n10", "n15"]
    assert len(staying([*seeding(20), *fetching(100, 1)], racks=50)) == FEWEST


def test_as_they_leave_one_by_one_nobody_is_stranded() -> None:
    active = seeding(50) + fetching(100, 8)
    for _ in range(50):
        leaving = next((d for d in active if d.phase == "seed" and ask(d, active).leave), None)
        if leaving is not None:
            active.remove(leaving)
    assert len(staying(active)) == servers_wanted([1.0] * 8) == 16


@pytest.mark.parametrize(
    ("other", "leave"),
    [
        (deployment(1, "image", heard=NOW - ABSENCE_SECONDS), True),
        (deployment(1, "image", heard=NOW - ABSENCE_SECONDS + 1), False),
        (deployment(1, "image", infohash="cd"), True),
        (deployment(1, "disks"), False),
        (deployment(1, "bootloader", fetched=True), True),
    ],
)
def test_whom_one_waits_for(other: Deployment, leave: bool) -> None:
    mine = deployment(0, "seed")
    assert ask(mine, [mine, other]).leave is leave


def test_one_that_is_silent_or_not_at_its_last_step_serves_nobody() -> None:
    gone = [deployment(n, "seed", heard=NOW - ABSENCE_SECONDS) for n in range(10, 30)]
    busy = [deployment(n, "bootloader", fetched=True) for n in range(30, 50)]
    mine = deployment(0, "seed")
    assert not ask(mine, [mine, *gone, *busy, *fetching(100, 1)]).leave


def test_the_reason_names_who_is_waited_for() -> None:
    mine = deployment(0, "seed")
    said = ask(mine, [mine, *fetching(1, 5)])
    assert said.reason == "still without the image: n1, n2, n3 and others"
    assert ask(mine, [mine, *fetching(1, 1)], seeders=1).reason == "the site's seeders serve n1"
