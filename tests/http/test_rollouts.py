# SPDX-License-Identifier: GPL-2.0-or-later
"""Rollouts against a live server. Machines are files that say on or off, switched by commands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from tests.http.api import make_api
from tests.http.conftest import CLAIM, MAC, Live, register, serving
from tests.http.machines import Machines

from swarmstrap import wire
from swarmstrap.errors import SwarmstrapError
from swarmstrap.wire import Event
from swarmstrap_server import cli
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.operator_wire import Arm, Naming
from swarmstrap_server.control.retention import Retention
from swarmstrap_server.power.orders import PowerOrder
from swarmstrap_server.power.switching import Waits
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.rollouts.values import Order, Pace, Rollout, RolloutsPage
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.settings import Events

Capture = pytest.CaptureFixture[str]
SECONDS = 20.0
MACS = {"n1": MAC, "n2": "52:54:00:00:00:02", "n3": "52:54:00:00:00:03"}


@pytest.fixture
def machines(site: SitePaths, tmp_path: Path) -> Machines:
    found = Machines(tmp_path)
    for node in MACS:
        found.put(node, "off")
    (site.root / "groups.yaml").write_text(f"groups:\n- name: all\n{found.words()}")
    return found


@pytest.fixture
async def live(site: SitePaths, machines: Machines) -> AsyncIterator[Live]:
    async with serving(site) as live:
        live.services.switchboard._waits = Waits(off=1.0, kill=1.0, on=1.0, poll=0.02)
        yield live


def order(*nodes: str, power: bool = True, retries: int = 1, pace: Pace | None = None) -> Order:
    arm = Arm(nodes=nodes, image="tiny")
    return Order(arm=arm, power=power, retries=retries, pace=pace or Pace())


async def until(live: Live, what: str, true: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            while not true():
                live.services.rollouts.tick()
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


def states(rollout: Rollout) -> dict[str, str]:
    return {member.node: member.state for member in rollout.members}


def now(live: Live, key: str) -> Rollout:
    return live.services.rollouts.rollout(key)


def install(live: Live, node: str, result: str = "success") -> None:
    """The node's agent, from its registration to its last word."""
    deployments = live.services.deployments
    token = deployments.register(register(MACS[node]), "").token
    deployments.take_job(token, CLAIM)
    deployment = deployments.store.latest_deployment(node)
    assert deployment is not None
    event = Event(
        sequence=1,
        time=1.0,
        kind="finish",
        name="do/finish/1",
        description="no disk matches" if result == "fail" else "",
        result="fail" if result == "fail" else "success",
    )
    deployments.feed.take(deployment, wire.Events(events=(event,)), live.clock.now)


@pytest.mark.parametrize("switching", [False, True])
async def test_a_node_that_gets_a_name_while_it_is_switched_on_is_awaited(
    live: Live, machines: Machines, *, switching: bool
) -> None:
    deployments = live.services.deployments
    old = deployments.register(register("52:54:00:aa:bb:cc"), "").node
    deployments.roster.name(old, Naming(name="web1"))
    machines.put("web1", "off")
    machines.put("web2", "off")
    begun = live.services.rollouts.start(order("web1"), "test")
    assert states(begun) == {"web1": "powering"}
    if switching:
        await asyncio.sleep(0)  # the BMC is asked under the first name
    deployments.roster.name("web1", Naming(name="web2"))
    await until(live, "power", lambda: states(now(live, begun.id)) == {"web2": "booting"})
    assert machines.asked("web1" if switching else "web2") == ["network", "on"]
    assert machines.asked("web2" if switching else "web1") == []
    assert now(live, begun.id).members[0].tries == 1


async def test_nodes_are_armed_switched_on_and_followed_to_the_end(
    live: Live, machines: Machines
) -> None:
    machines.put("n2", "on")
    begun = await asyncio.to_thread(live.operator.deploy, order("n[1-2]"))
    assert states(begun) == {"n1": "powering", "n2": "powering"}
    assert live.services.deployments.view("n1").state == "armed"
    await until(live, "power", lambda: set(states(now(live, begun.id)).values()) == {"booting"})
    assert machines.asked("n1") == ["network", "on"]
    assert machines.asked("n2") == ["network", "off", "on"]
    install(live, "n1")
    install(live, "n2", "fail")
    await until(live, "the end", lambda: now(live, begun.id).ended is not None)
    ended = now(live, begun.id)
    assert states(ended) == {"n1": "deployed", "n2": "failed"}
    assert ended.members[1].reason == "no disk matches"
    told = [record.event.description for record in live.services.deployments.store.events("n1")]
    assert "switched on by exec" in told


async def test_the_window_holds_for_power(live: Live, machines: Machines) -> None:
    pace = Pace(actions=2, seconds=30)
    begun = await asyncio.to_thread(live.operator.deploy, order("all", pace=pace))
    await until(
        live, "power", lambda: list(states(now(live, begun.id)).values()).count("booting") == 2
    )
    assert machines.state("n3") == "off"
    assert live.services.deployments.view("n3").state == "ready"
    live.clock.now += 30
    await until(live, "n3", lambda: machines.state("n3") == "on")


async def test_a_bmc_that_does_not_answer_is_asked_again_and_given_up(
    live: Live, machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    view = live.services.deployments.view
    machines.unplug("n1")
    begun = await asyncio.to_thread(live.operator.deploy, order("n1"))
    await until(live, "the end", lambda: now(live, begun.id).ended is not None)
    (member,) = now(live, begun.id).members
    assert (member.state, member.tries) == ("failed", 2)
    assert "n1 does not answer" in member.reason
    await until(live, "n1 as failed", lambda: view("n1").state == "failed")
    first, second = live.services.deployments.store.deployments_of("n1")
    assert (first.state, second.state) == ("disarmed", "failed")
    assert first.reason == second.reason == member.reason
    assert second.hint == f"try it by hand: {machines.folder / 'bmc'} n1 network"
    told = await asyncio.to_thread(live.operator.why, "n1")
    assert (told.state, told.to_do) == ("failed", second.hint)
    assert told.happened[-1].endswith(f"  failed: {member.reason}")
    levels = [r.levelname for r in caplog.records if f"n1: rollout {begun.id}: " in r.message]
    assert levels == ["INFO", "WARNING"]
    machines.put("n1", "off")
    again = await asyncio.to_thread(live.operator.retry, begun.id)
    await until(live, "power", lambda: states(now(live, again.id)) == {"n1": "booting"})


async def test_a_node_that_does_not_come_is_started_again_and_given_up(
    live: Live, machines: Machines
) -> None:
    begun = await asyncio.to_thread(live.operator.deploy, order("n1"))
    for times in (1, 2):
        await until(live, "power", lambda: states(now(live, begun.id)) == {"n1": "booting"})
        assert machines.asked("n1").count("on") == times
        live.clock.now += 600
        live.services.rollouts.tick()
    (member,) = now(live, begun.id).members
    assert (member.state, member.reason) == ("failed", "switched on, and not heard of for 600 s")
    assert live.services.deployments.view("n1").state == "failed"
    assert live.services.deployments.register(register(), "").token == ""


async def test_a_node_that_nobody_switches_is_armed_and_awaited(
    live: Live, machines: Machines
) -> None:
    begun = await asyncio.to_thread(live.operator.deploy, order("n3", power=False))
    assert states(begun) == {"n3": "booting"}
    assert machines.asked("n3") == []
    install(live, "n3")
    await until(live, "the end", lambda: states(now(live, begun.id)) == {"n3": "deployed"})


async def test_an_order_that_cannot_be_followed_begins_nothing(live: Live) -> None:
    with pytest.raises(SwarmstrapError, match="no node 'n9'"):
        await asyncio.to_thread(live.operator.deploy, order("n1", "n9"))
    assert await asyncio.to_thread(live.operator.rollouts, 9) == ()
    planned = await asyncio.to_thread(live.operator.plan_rollout, order("all"))
    assert [member.node for member in planned.members] == ["n1", "n2", "n3"]
    assert planned.order.arm.version == "1"
    assert await asyncio.to_thread(live.operator.rollouts, 9) == ()
    assert live.services.deployments.view("n1").state == "ready"


async def test_cancel_takes_armings_back_and_lets_the_others_end(live: Live) -> None:
    pace = Pace(actions=2, seconds=30)
    begun = await asyncio.to_thread(live.operator.deploy, order("all", pace=pace))
    await until(live, "power", lambda: states(now(live, begun.id))["n1"] == "booting")
    deployments = live.services.deployments
    deployments.take_job(deployments.register(register(MAC), "").token, CLAIM)
    live.services.rollouts.tick()
    cancelled = await asyncio.to_thread(live.operator.cancel, begun.id)
    assert states(cancelled) == {"n1": "deploying", "n2": "cancelled", "n3": "cancelled"}
    assert deployments.view("n2").state == "ready"
    live.clock.now += 901
    deployments.tick()
    await until(live, "the end", lambda: now(live, begun.id).ended is not None)
    with pytest.raises(SwarmstrapError, match="has ended"):
        await asyncio.to_thread(live.operator.cancel, begun.id)


async def test_a_server_that_starts_goes_on_where_the_other_was_killed(
    live: Live, machines: Machines
) -> None:
    pace = Pace(actions=1, seconds=30)
    begun = await asyncio.to_thread(live.operator.deploy, order("n1", "n2", pace=pace))
    await until(live, "power", lambda: states(now(live, begun.id))["n1"] == "booting")
    live.clock.now += 30
    live.services.rollouts.tick()
    assert states(now(live, begun.id))["n2"] == "powering"
    # What the first one was doing is lost with it; what it wrote is not.
    services = live.services
    for task in services.rollouts._switching.values():
        task.cancel()
    services.rollouts = Rollouts(services.deployments, services.switchboard)
    assert states(now(live, begun.id)) == {"n1": "booting", "n2": "waiting"}
    live.clock.now += 30
    await until(live, "n2", lambda: states(now(live, begun.id))["n2"] == "booting")
    assert [member.tries for member in now(live, begun.id).members] == [1, 1]
    install(live, "n1")
    install(live, "n2")
    await until(live, "the end", lambda: now(live, begun.id).ended is not None)
    assert set(states(now(live, begun.id)).values()) == {"deployed"}


async def test_a_repeated_request_is_one_rollout(live: Live) -> None:
    api = make_api(live)
    key = {"Idempotency-Key": "once"}
    body = order("n1", power=False)
    first = await api.ask("POST", "/rollouts", "operator", body, key)
    again = await api.ask("POST", "/rollouts", "operator", body, key)
    assert (first.status, again.status) == (201, 201)
    assert first.value == again.value
    listed = (await api.ask("GET", "/rollouts", "viewer")).value
    (only,) = msgspec.convert(listed, RolloutsPage).items
    assert only.states == {"booting": 1}
    assert (await api.ask("GET", "/rollouts/nothing", "viewer")).status == 404


async def test_a_list_of_rollouts_comes_in_pages_without_members(live: Live) -> None:
    api = make_api(live)
    begun = []
    for node in ("n1", "n2", "n3"):
        live.clock.now += 1
        begun.append(await asyncio.to_thread(live.operator.deploy, order(node, power=False)))
    newest_first = [one.id for one in reversed(begun)]
    answered = await api.ask("GET", "/rollouts?limit=2", "viewer")
    first = msgspec.convert(answered.value, RolloutsPage)
    assert [one.id for one in first.items] == newest_first[:2]
    answered = await api.ask("GET", f"/rollouts?limit=2&after={first.next}", "viewer")
    last = msgspec.convert(answered.value, RolloutsPage)
    assert ([one.id for one in last.items], last.next) == (newest_first[2:], "")
    assert (await api.ask("GET", "/rollouts?after=nothing", "viewer")).status == 400


async def test_a_rollout_is_forgotten_with_its_nodes(live: Live) -> None:
    begun = await asyncio.to_thread(live.operator.deploy, order("n1", "n2", power=False))
    await asyncio.to_thread(live.operator.cancel, begun.id)
    store, retention = live.services.deployments.store, Retention(live.services.deployments.store)
    retention.tick(Events(keep_days=1), live.clock.now + 86400)
    assert now(live, begun.id).members
    retention.tick(Events(keep_days=1), live.clock.now + 86401)
    assert store.execute("SELECT COUNT(*) FROM rollout_members").fetchone() == (0,)
    with pytest.raises(SwarmstrapError, match="no rollout"):
        now(live, begun.id)


async def test_power_by_hand(live: Live, machines: Machines) -> None:
    machines.unplug("n3")
    asked = PowerOrder(nodes=("all",), action="on")
    results = await asyncio.to_thread(live.operator.power, asked)
    assert [(r.node, r.state, bool(r.reason)) for r in results] == [
        ("n1", "on", False),
        ("n2", "on", False),
        ("n3", "unknown", True),
    ]
    hard = PowerOrder(nodes=("n1",), action="off", hard=True)
    (result,) = await asyncio.to_thread(live.operator.power, hard)
    assert result.state == "off"
    assert machines.asked("n1") == ["on", "kill"]


@contextlib.asynccontextmanager
async def at_work(live: Live) -> AsyncIterator[None]:
    """The server's own clockwork, but for the clock."""
    running = asyncio.create_task(live.services.rollouts.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def command(live: Live, *arguments: str) -> int:
    return await asyncio.to_thread(cli.main, ["--site", str(live.paths.root), *arguments])


async def test_deploy_waits_and_says_who_failed_and_why(
    live: Live, machines: Machines, capsys: Capture
) -> None:
    async with at_work(live):
        waiting = asyncio.create_task(
            command(live, "deploy", "tiny", "--to", "n1,n3", "--wait", "--window", "8/30s")
        )
        await until(live, "the order", lambda: live.services.rollouts.latest_of("n1") is not None)
        begun = live.services.rollouts.summaries(1)[0].id
        await until(live, "power", lambda: set(states(now(live, begun)).values()) == {"booting"})
        install(live, "n1")
        install(live, "n3", "fail")
        assert await asyncio.wait_for(waiting, SECONDS) == Exit.PARTLY
    said = capsys.readouterr().out
    assert ": tiny:1 to 2 nodes\n" in said
    assert "n[1,3] are armed for tiny:1 until " in said
    assert "tiny:1 to 2 nodes: 1 of 2 done in 0 s\n" in said
    assert [line.split() for line in said.splitlines()][-1] == [
        *("n3", "failed", "1", "no", "disk", "matches")
    ]
    assert await command(live, "rollout", "ls") == 0
    assert "1 deployed, 1 failed" in capsys.readouterr().out
    assert await command(live, "rollout", "show") == 0
    assert ", ordered by the local operator at 2027-" in capsys.readouterr().out
    assert await command(live, "why", "n3") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "n3 is failed"
    assert [line.split("  ")[-1] for line in told[1:]] == [
        f"rollout {begun}: tiny:1 to 2 nodes, by the local operator",
        "switched on by exec",
        "armed for tiny:1",
        "took its job",
        "failed in phase finish: no disk matches",
        "what to do: see swarmstrap node show n3, then deploy again",
    ]


async def test_a_dry_run_says_who_is_switched_on(live: Live, capsys: Capture) -> None:
    nodes = (live.paths.root / "nodes" / "lab.yaml").read_text()
    by_hand = nodes.replace("{name: n3,", "{name: n3, power: {driver: none},")
    (live.paths.root / "nodes" / "lab.yaml").write_text(by_hand)
    assert await command(live, "deploy", "tiny", "--to", "all", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "plan: tiny:1 to 3 nodes",
        "switched on by the server, 16 within 30 s: n[1-2]",
        "armed, for somebody to start: n3",
    ]
    assert live.services.deployments.view("n1").state == "ready"


async def test_the_whole_pace_is_set_by_command(live: Live, capsys: Capture) -> None:
    words = ("--window", "8/30", "--at-once", "4", "--power-seconds", "90", "--boot-seconds", "900")
    assert await command(live, "deploy", "tiny", "--to", "n1", "--dry-run", "--json", *words) == 0
    planned = msgspec.json.decode(capsys.readouterr().out, type=Rollout)
    assert planned.order.pace == Pace(
        actions=8, seconds=30.0, deploying=4, power_seconds=90.0, boot_seconds=900.0
    )


@pytest.mark.parametrize("word", ["power", "boot"])
async def test_a_pace_that_cannot_be_is_refused_in_one_line(
    live: Live, capsys: Capture, word: str
) -> None:
    line = ("deploy", "tiny", "--to", "n1", f"--{word}-seconds", "0")
    assert await command(live, *line) == Exit.FAILED
    (said,) = capsys.readouterr().err.splitlines()
    assert f"this cannot be ordered: Expected `float` > 0.0 - at `$.pace.{word}_seconds`" in said


async def test_power_by_command(live: Live, machines: Machines, capsys: Capture) -> None:
    machines.unplug("n2")
    assert await command(live, "power", "status", "n[1-2]") == Exit.PARTLY
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["n1", "exec", "off"]
    assert rows[2][:3] == ["n2", "exec", "unknown"]


async def test_a_wrong_window_is_wrong_usage(live: Live, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        await command(live, "deploy", "tiny", "--to", "n1", "--window", "many")
    assert "'many' is not a window, as in 8/30s" in capsys.readouterr().err
