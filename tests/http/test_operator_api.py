# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator API over its Unix socket, asked by the CLI's own client."""

import asyncio
import io
import itertools
import stat
import threading
from typing import Literal

import pytest
from rich.console import Console
from tests.http.conftest import CLAIM, Live, register

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap.wire import Event, Events
from swarmstrap_server.commands.board import Board
from swarmstrap_server.commands.watch import Messages, watch
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Arm, Disarm, Record, Snapshot
from swarmstrap_server.site.paths import SitePaths

SECONDS = 10.0


async def test_only_the_owner_may_open_the_socket(live: Live) -> None:
    assert stat.S_IMODE(live.paths.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(live.paths.run.stat().st_mode) == 0o700


async def test_nodes_of_the_site_and_strangers(live: Live) -> None:
    live.services.deployments.register(register("52:54:00:aa:bb:cc"), "192.0.2.9")
    nodes = await asyncio.to_thread(live.operator.nodes)
    assert [(node.name, node.state) for node in nodes] == [
        ("n1", "ready"),
        ("n2", "ready"),
        ("n3", "ready"),
        ("node-525400aabbcc", "discovered"),
    ]
    assert nodes[-1].address == "192.0.2.9"


async def test_a_stranger_takes_the_name_that_the_site_gives_it(live: Live) -> None:
    live.services.deployments.register(register("52:54:00:aa:bb:cc"), "192.0.2.9")
    with (live.paths.root / "nodes" / "lab.yaml").open("a") as nodes:
        nodes.write("- {name: n4, mac: 52-54-00-AA-BB-CC}\n")
    await asyncio.to_thread(live.operator.arm, Arm(nodes=("n4",), image="tiny"))
    seen = {node.name: node for node in await asyncio.to_thread(live.operator.nodes)}
    assert seen["n4"].has_inventory
    assert "node-525400aabbcc" not in seen


async def test_arming_is_for_all_of_the_nodes_or_for_none(live: Live) -> None:
    with pytest.raises(SwarmstrapError, match="no node 'n22', did you mean 'n2'") as refused:
        await asyncio.to_thread(live.operator.arm, Arm(nodes=("n1", "n22"), image="tiny"))
    assert refused.value.hint
    nodes = await asyncio.to_thread(live.operator.nodes)
    assert {node.state for node in nodes} == {"ready"}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Arm(nodes=("n1",), image="tniy"), "there is no image tniy"),
        (Arm(nodes=("n1",), image="tiny", version="9"), "there is no image tiny:9"),
        (Arm(nodes=("n1",), image="../keys"), "not a name for an image"),
        (Arm(nodes=("n1",), image="tiny", layout="defualt"), "did you mean 'default'"),
    ],
)
async def test_an_order_that_cannot_be_followed(live: Live, order: Arm, message: str) -> None:
    with pytest.raises(SwarmstrapError, match=message):
        await asyncio.to_thread(live.operator.arm, order)


async def test_a_layout_for_another_kind_of_image(live: Live) -> None:
    (live.paths.root / "layouts" / "whole.yaml").write_text("disks: [{id: system}]\n")
    order = Arm(nodes=("n1",), image="tiny", layout="whole")
    with pytest.raises(SwarmstrapError, match="is a tree of files, and the layout makes no part"):
        await asyncio.to_thread(live.operator.arm, order)


async def test_a_site_that_is_wrong_arms_nothing_and_keeps_serving(live: Live) -> None:
    (live.paths.root / "layouts" / "default.yaml").write_text("disks:\n- idd: system\n")
    with pytest.raises(SwarmstrapError, match=r"layouts/default.yaml:2: unknown key 'idd'"):
        await asyncio.to_thread(live.operator.arm, Arm(nodes=("n1",), image="tiny"))
    assert len(await asyncio.to_thread(live.operator.nodes)) == 3


async def test_a_node_at_work_is_not_armed_again_until_it_fell_silent(live: Live) -> None:
    deployments = live.services.deployments
    order = Arm(nodes=("n1",), image="tiny")
    deployments.arm(order)
    deployments.take_job(deployments.register(register(), "").token, CLAIM)
    with pytest.raises(SwarmstrapError, match="n1 is being deployed, phase ask"):
        await asyncio.to_thread(live.operator.arm, order)
    live.clock.now += 61
    await asyncio.to_thread(live.operator.arm, order)
    assert deployments.view("n1").state == "armed"


async def test_disarm(live: Live) -> None:
    live.services.deployments.arm(Arm(nodes=("n1", "n2"), image="tiny"))
    await asyncio.to_thread(live.operator.disarm, Disarm(nodes=("n1",)))
    states = [node.state for node in await asyncio.to_thread(live.operator.nodes)]
    assert states == ["ready", "armed", "ready"]


def marked(stream: Messages, began: threading.Event) -> Messages:
    """The stream itself; `began` is set with its first message."""
    for message in stream:
        began.set()
        yield message


async def test_the_stream_begins_with_what_is_and_goes_on_with_what_happens(live: Live) -> None:
    began = threading.Event()
    first_two = itertools.islice(marked(live.operator.stream(), began), 2)
    following = asyncio.create_task(asyncio.to_thread(list, first_two))
    assert await asyncio.to_thread(began.wait, SECONDS)
    live.services.deployments.register(register("52:54:00:aa:bb:cc"), "192.0.2.9")
    snapshot, record = await asyncio.wait_for(following, SECONDS)
    assert isinstance(snapshot, Snapshot)
    assert [node.name for node in snapshot.nodes] == ["n1", "n2", "n3"]
    assert isinstance(record, Record)
    assert record.event.name == "server/not-armed"
    assert record.view is not None
    assert record.view.state == "discovered"


def say(sequence: int, kind: Literal["start", "progress", "finish"], name: str) -> Event:
    result: Literal["", "success"] = "success" if kind == "finish" else ""
    return Event(
        sequence=sequence,
        time=float(sequence),
        kind=kind,
        name=name,
        description=f"to {name}",
        result=result,
        from_seeder=1 << 20,
        from_peers=3 << 20,
    )


async def test_watch_ends_with_the_last_node_and_says_what_became_of_each(live: Live) -> None:
    deployments = live.services.deployments
    deployments.arm(Arm(nodes=("n1", "n3"), image="tiny"))
    printed = io.StringIO()
    began = threading.Event()

    def follow() -> Board:
        console = Console(file=printed, width=160)
        return watch(marked(live.operator.stream(), began), ["n1", "n3"], console)

    watching = asyncio.create_task(asyncio.to_thread(follow))
    assert await asyncio.to_thread(began.wait, SECONDS)
    session = deployments.take_job(deployments.register(register(), "").token, CLAIM).session
    events = (say(1, "start", "do/image/1"), say(3, "finish", "do/image/1"))
    ended = say(4, "finish", "do/finish/2")
    now = deployments.session(session)
    deployments.feed.take(now, Events(events=(*events, ended)), live.clock.now)
    live.clock.now += 3600
    deployments.tick()
    board = await asyncio.wait_for(watching, SECONDS)
    assert board.failed == ["n3"]
    lines = printed.getvalue().splitlines()
    assert "n1  do/image/1  done: to do/image/1" in lines
    assert any(line.startswith("n3  server/expired  FAILED the arming expired") for line in lines)
    assert any(line.split()[:3] == ["n1", "tiny:1", "deployed"] for line in lines)


async def test_no_server_is_said_in_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(Unreachable, match="no server answers at") as refused:
        Operator(SitePaths(tmp_path_factory.mktemp("s")).socket).nodes()
    assert refused.value.hint == "start it: swarmstrap serve"
