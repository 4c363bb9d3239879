# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that no file has: named by a rule when they register, or by an operator."""

import asyncio
import json

import pytest
from msgspec.structs import replace
from tests.http.conftest import Live, register

from swarmstrap_server.control.operator_wire import Arm, NodeView
from swarmstrap_server.rollouts.values import NewReservation, Order, Pace

Capture = pytest.CaptureFixture[str]
STRANGER, OTHER = "52:54:00:aa:bb:cc", "52:54:00:aa:bb:dd"
GROUPS = "groups:\n- {name: pool, rack: r7}\n"


async def strangers(live: Live) -> dict[str, NodeView]:
    nodes = await asyncio.to_thread(live.operator.nodes)
    return {node.name: node for node in nodes if node.name not in ("n1", "n2", "n3")}


async def read(live: Live) -> None:
    """As at any order for a node."""
    await asyncio.to_thread(live.operator.arm, Arm(nodes=("n1",), image="tiny"))


async def with_rule(live: Live, rule: str) -> None:
    (live.paths.root / "groups.yaml").write_text(GROUPS)
    (live.paths.root / "discovery.yaml").write_text(f"rules:\n- {rule}\n")
    await read(live)


async def test_a_rule_names_what_registers_and_knows_it_again(live: Live, capsys: Capture) -> None:
    await with_rule(live, "{match: {mac: '<in> 52:54:00:aa'}, name: 'p{n:02}', groups: [pool]}")
    answers = [await live.api.register(register(mac), patience=0) for mac in (STRANGER, OTHER)]
    assert [answer.node for answer in answers] == ["p01", "p02"]
    assert (await live.api.register(register(STRANGER), patience=0)).node == "p01"
    await read(live)
    found = await strangers(live)
    assert {(n.name, n.state, n.in_site, n.groups) for n in found.values()} == {
        ("p01", "ready", True, ("pool", "all")),
        ("p02", "ready", True, ("pool", "all")),
    }
    armed = await asyncio.to_thread(live.operator.arm, Arm(nodes=("pool",), image="tiny"))
    assert [deployment.node for deployment in armed] == ["p01", "p02"]
    assert (await live.api.register(register(OTHER), patience=0)).token
    assert await live.command("show", "p02", "--json") == 0
    words = {word["key"]: word for word in json.loads(capsys.readouterr().out)["words"]}
    assert words["rack"]["place"] == "groups.yaml:2"
    assert words["mac"]["place"] == "given by rule 1 of discovery.yaml"


async def test_without_a_rule_a_stranger_stays_discovered(live: Live) -> None:
    await with_rule(live, "{match: {vendor: Nobody}, name: p1}")
    await live.api.register(register(STRANGER), patience=0)
    ((name, node),) = (await strangers(live)).items()
    assert (name, node.state) == ("node-525400aabbcc", "discovered")


async def test_a_name_that_cannot_be_given_is_an_event(live: Live) -> None:
    await with_rule(live, "{match: {mac: '<in> 52:54:00:aa'}, name: n1}")
    answer = await live.api.register(register(STRANGER), patience=0)
    assert answer.node == "node-525400aabbcc"
    document = await asyncio.to_thread(live.operator.node, answer.node)
    (event,) = (r.event for r in document.events if r.event.name == "server/unnamed")
    assert event.description == "n1 is the name of another node or group"
    assert "swarmstrap node name" in event.hint


async def test_an_operator_names_it_and_its_history_goes_along(live: Live, capsys: Capture) -> None:
    (live.paths.root / "groups.yaml").write_text(GROUPS)
    await read(live)
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, "web1", "--groups", "pool") == 0
    assert capsys.readouterr().out == f"{old} is web1, in pool, all\n"
    ((name, node),) = (await strangers(live)).items()
    assert (name, node.state, node.has_inventory) == ("web1", "ready", True)
    document = await asyncio.to_thread(live.operator.node, "web1")
    assert "server/not-armed" in [record.event.name for record in document.events]
    assert await live.command("node", "name", "web1", "web2") == 0
    assert list(await strangers(live)) == ["web2"]


async def test_a_rollout_goes_along_with_a_new_name(live: Live) -> None:
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, "web1") == 0
    order = Order(arm=Arm(nodes=("web1",), image="tiny"), power=False)
    begun = await asyncio.to_thread(live.operator.deploy, order)
    assert await live.command("node", "name", "web1", "web2") == 0
    renamed = live.services.rollouts.rollout(begun.id)
    assert [member.node for member in renamed.members] == ["web2"]
    assert renamed.order.arm.nodes == ("web2",)
    live.services.rollouts.tick()
    found = live.services.rollouts.latest_of("web2")
    assert found is not None
    (member,) = found.members
    assert (member.node, member.state, member.deployment) == (
        *("web2", "booting"),
        begun.members[0].deployment,
    )
    assert live.services.rollouts.latest_of("web1") is None


async def test_a_member_that_a_file_names_before_its_turn_is_armed(live: Live) -> None:
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, "web1") == 0
    rollouts, deployments = live.services.rollouts, live.services.deployments
    one_at_a_time = Order(
        arm=Arm(nodes=("n1", "web1"), image="tiny"), power=False, pace=Pace(deploying=1)
    )
    begun = rollouts.start(one_at_a_time, "test")
    assert [m.state for m in begun.members] == ["booting", "waiting"]
    with (live.paths.root / "nodes" / "lab.yaml").open("a") as nodes:
        nodes.write(f"- {{name: db1, mac: {STRANGER}}}\n")
    deployments.disarm(["n1"])
    rollouts.tick()
    after = rollouts.rollout(begun.id)
    assert [(m.node, m.state) for m in after.members] == [("n1", "failed"), ("db1", "booting")]
    assert after.order.arm.nodes == ("n1", "db1")
    assert deployments.view("db1").state == "armed"


async def test_a_reservation_goes_along_with_a_new_name(live: Live) -> None:
    (live.paths.root / "groups.yaml").write_text("groups:\n- {name: pool, image: tiny}\n")
    await read(live)
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, "web1", "--groups", "pool") == 0
    order = Order(arm=Arm(nodes=("web1",), image="tiny"), power=False)
    until = live.clock.now + 3600
    made = live.services.reservations.reserve(NewReservation(order=order, until=until), "ada")
    assert await live.command("node", "name", "web1", "web2", "--groups", "pool") == 0
    to_web2 = replace(made.order, arm=replace(made.order.arm, nodes=("web2",)))
    held = live.services.reservations.lent.holder("web2")
    assert held == replace(made, nodes=("web2",), left=("web2",), order=to_web2)
    assert live.services.reservations.lent.holder("web1") is None
    live.clock.now = until
    live.services.reservations.tick()
    (ended,) = live.services.reservations.lent.latest()
    assert (ended.left, ended.reason) == ((), "")
    back = live.services.rollouts.rollout(ended.returns[0])
    assert [member.node for member in back.members] == ["web2"]


@pytest.mark.parametrize("name", ["web1", "100", "true"])
async def test_what_is_exported_may_go_into_the_site(
    live: Live, name: str, capsys: Capture
) -> None:
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, name) == 0
    capsys.readouterr()
    assert await live.command("node", "export") == 0
    (live.paths.root / "nodes" / "found.yaml").write_text(capsys.readouterr().out)
    await read(live)
    assert list(await strangers(live)) == [name]
    assert await asyncio.to_thread(live.operator.names) == []
    assert await live.command("node", "name", name, "web2") == 1
    assert f"{name} has its name from nodes/found.yaml:2" in capsys.readouterr().err


async def test_a_file_that_calls_it_otherwise_goes_before(live: Live) -> None:
    old = (await live.api.register(register(STRANGER), patience=0)).node
    assert await live.command("node", "name", old, "web1") == 0
    with (live.paths.root / "nodes" / "lab.yaml").open("a") as nodes:
        nodes.write(f"- {{name: db1, mac: {STRANGER}}}\n")
    await read(live)
    assert list(await strangers(live)) == ["db1"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nobody", "web1"], "no machine 'nobody' has registered"),
        (["n1", "web1"], "n1 has its name from nodes/lab.yaml:"),
        (["node-525400aabbcc", "n2"], "n2 is the name of another node or group"),
        (["node-525400aabbcc", "all"], "all is the name of another node or group"),
        (["node-525400aabbcc", "Web"], "'Web' is not a node's name"),
        (["node-525400aabbcc", "web1", "--groups", "al"], "no group 'al', did you mean 'all'?"),
    ],
)
async def test_names_that_are_refused(
    live: Live, capsys: Capture, arguments: list[str], complaint: str
) -> None:
    await live.api.register(register(STRANGER), patience=0)
    assert await live.command("node", "name", *arguments) == 1
    assert complaint in capsys.readouterr().err
