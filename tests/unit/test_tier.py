# SPDX-License-Identifier: GPL-2.0-or-later
"""Which seeder a node is told of."""

import pytest

from swarmstrap_server.swarm.circles import Endpoint
from swarmstrap_server.swarm.tier import PEERS_A_SEEDER, Placed, Tier

OWN = ("192.0.2.1", 6881)
SECOND = ("192.0.2.2", 6881)
THIRD = ("192.0.2.3", 6881)


def node(number: int) -> Endpoint:
    return f"10.0.{number >> 8}.{number & 255}", 6881


@pytest.fixture
def tier() -> Tier:
    """The server and a second seeder in rack a, a third in rack b; all have the image."""
    tier = Tier([Placed(OWN, "a"), Placed(SECOND, "a"), Placed(THIRD, "b")])
    tier.comes(SECOND)
    tier.comes(THIRD)
    return tier


def told(tier: Tier, number: int, rack: str = "a", **more: bool) -> tuple[Endpoint, ...]:
    given = {"gateway": False, "stalled": False, **more}
    return tier.seeders_of(node(number), rack, **given)


def test_nodes_are_spread_over_the_seeders_of_their_rack_and_stay_with_theirs(tier: Tier) -> None:
    first = [told(tier, number) for number in range(20)]
    assert first.count((OWN,)) == first.count((SECOND,)) == 10
    assert [told(tier, number) for number in range(20)] == first
    assert told(tier, 30, "b") == (THIRD,)
    assert tier.nodes(THIRD) == (node(30),)


@pytest.mark.parametrize(
    ("more", "seeders"), [({}, 0), ({"gateway": True}, 1), ({"stalled": True}, 3)]
)
def test_a_rack_without_a_seeder_has_one_through_its_gateways_and_for_who_stands_still(
    tier: Tier, more: dict[str, bool], seeders: int
) -> None:
    assert len(told(tier, 1, "c", **more)) == seeders


def test_a_seeder_that_is_gone_is_replaced(tier: Tier) -> None:
    served = next(number for number in range(9) if told(tier, number) == (SECOND,))
    tier.goes(SECOND)
    assert told(tier, served) == (OWN,)
    assert tier.nodes(SECOND) == ()


def test_one_that_does_not_have_the_image_yet_is_not_named() -> None:
    tier = Tier([Placed(OWN), Placed(SECOND)])
    assert [told(tier, number, "") for number in range(4)] == [(OWN,)] * 4


def test_the_servers_own_is_named_while_it_is_restarted(tier: Tier) -> None:
    tier.goes(OWN)
    assert (OWN,) in [told(tier, number) for number in range(2)]


def test_a_full_seeder_serves_whoever_stands_still_and_the_next_when_somebody_has_all() -> None:
    tier = Tier([Placed(OWN)])
    for number in range(PEERS_A_SEEDER):
        assert told(tier, number, "") == (OWN,)
    assert told(tier, 1000, "") == ()
    assert told(tier, 2000, "", stalled=True) == (OWN,)
    tier.forget(node(0))
    tier.forget(node(2000))
    assert told(tier, 1000, "") == (OWN,)
