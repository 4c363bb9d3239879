# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes lent for a time, by the test's clock."""

import asyncio

import msgspec
import pytest
from tests.http.api import make_api
from tests.http.conftest import CLAIM, MAC, Live, register

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server import cli
from swarmstrap_server.control.operator_wire import Arm, ProblemDetails
from swarmstrap_server.rollouts.reservations import AGAIN_SECONDS
from swarmstrap_server.rollouts.values import NewReservation, Order, Reservation, Rollout

HOUR = 3600.0
GROUPS = """\
groups:
- {name: pool, members: [n1, n2], image: tiny}
"""


@pytest.fixture
async def pool(live: Live) -> Live:
    (live.paths.root / "groups.yaml").write_text(GROUPS)
    return live


def wanted(live: Live, *nodes: str, hours: float = 4) -> NewReservation:
    order = Order(arm=Arm(nodes=nodes, image="tiny", finish="poweroff"))
    return NewReservation(order=order, until=live.clock.now + hours * HOUR)


async def reserve(live: Live, *nodes: str) -> Reservation:
    return await asyncio.to_thread(live.operator.reserve, wanted(live, *nodes))


async def one(live: Live) -> Reservation:
    (only,) = await asyncio.to_thread(live.operator.reservations)
    return only


async def test_nodes_return_to_their_pools_image_when_the_time_is_over(pool: Live) -> None:
    made = await reserve(pool, "pool")
    assert (made.nodes, made.by) == (("n1", "n2"), "the local operator")
    lent = pool.services.deployments.view("n1").deployment
    assert lent is not None
    assert (lent.title, lent.finish) == ("tiny:1", "poweroff")
    pool.clock.now += 4 * HOUR - 1
    pool.services.reservations.tick()
    assert (await one(pool)).returns == ()
    pool.clock.now += 1
    pool.services.reservations.tick()
    ended = await one(pool)
    assert ended.ended == pool.clock.now
    (back,) = ended.returns
    rollout = pool.services.rollouts.rollout(back)
    assert [member.node for member in rollout.members] == ["n1", "n2"]
    home = pool.services.deployments.view("n1").deployment
    assert home is not None
    assert (home.state, home.finish) == ("armed", "reboot")
    pool.services.reservations.tick()
    assert (await one(pool)).returns == (back,)


async def test_a_node_at_work_is_returned_later(pool: Live) -> None:
    await reserve(pool, "n1")
    pool.clock.now += 4 * HOUR - 10
    deployments = pool.services.deployments
    deployments.arm(Arm(nodes=("n1",), image="tiny"))
    deployments.take_job(deployments.register(register(MAC), "").token, CLAIM)
    pool.clock.now += 10
    pool.services.reservations.tick()
    waiting = await one(pool)
    assert (waiting.ended, waiting.left) == (None, ("n1",))
    assert "n1 is being deployed" in waiting.reason
    pool.clock.now += AGAIN_SECONDS
    pool.services.reservations.tick()
    assert (await one(pool)).left == ()


async def test_what_cannot_be_reserved(pool: Live) -> None:
    with pytest.raises(SwarmstrapError, match="node n3 has no image to return to"):
        await reserve(pool, "all")
    with pytest.raises(SwarmstrapError, match="is past"):
        await asyncio.to_thread(pool.operator.reserve, wanted(pool, "n1", hours=0))
    assert await asyncio.to_thread(pool.operator.rollouts, 9) == ()
    await reserve(pool, "n1")
    with pytest.raises(SwarmstrapError, match="n1 is reserved by the local operator until 20"):
        await reserve(pool, "n2", "n1")


async def test_what_is_lent_is_deployed_by_who_has_it_alone(pool: Live) -> None:
    order = Order(arm=Arm(nodes=("n[1-3]",), image="tiny"))
    api = make_api(pool)
    made = await reserve(pool, "n1", "n2")
    refused = await api.ask("POST", "/rollouts", "operator", order)
    assert refused.status == 409
    detail = msgspec.convert(refused.value, ProblemDetails)
    assert detail.detail.startswith("n[1-2] is reserved by the local operator until 20")
    assert detail.hint == f"wait, or end it: swarmstrap reservation end {made.id}"
    assert (await api.ask("POST", "/deployments", "operator", order.arm)).status == 409
    own = await asyncio.to_thread(pool.operator.deploy, order)
    assert own.by == "the local operator"
    told = await asyncio.to_thread(pool.operator.why, "n1")
    assert any("reserved by the local operator until 20" in line for line in told.happened)
    bearer = {"Authorization": f"Bearer {api.tokens['viewer']}"}
    async with pool.http.get(f"{api.url}/deployments", headers=bearer) as page:
        assert '<td>n[1-2]</td><td data-word="by">the local operator</td>' in await page.text()
    await asyncio.to_thread(pool.operator.end_reservation, made.id)
    freed = await api.ask("POST", "/rollouts", "operator", order)
    assert freed.status == 201
    begun = msgspec.convert(freed.value, Rollout)
    assert begun.by == "the-operator"
    armed = pool.services.deployments.view("n1").deployment
    assert armed is not None
    assert (armed.by, armed.rollout) == ("the-operator", begun.id)


async def test_a_reservation_by_command_ended_early(
    pool: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    async def command(*arguments: str) -> int:
        return await asyncio.to_thread(cli.main, ["--site", str(pool.paths.root), *arguments])

    line = ("reserve", "pool", "--image", "tiny", "--until", "2100-01-01 12:00")
    assert await command(*line, "--boot-seconds", "900") == 0
    made = (await one(pool)).id
    assert (await one(pool)).order.pace.boot_seconds == 900
    said = f"reservation {made}: n[1-2] until 2100-01-01 12:00:00\n"
    assert capsys.readouterr().out == said
    assert await command("reservation", "end", made) == 0
    assert capsys.readouterr().out == f"reservation {made}: n[1-2] returns to the pool\n"
    assert await command("reservation", "ls") == 0
    assert capsys.readouterr().out.split()[-1] == "returned"
