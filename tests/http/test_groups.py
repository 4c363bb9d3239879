# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups and ranges where an operator names nodes."""

import asyncio
import json

import pytest
from tests.http.conftest import Live, register

from swarmstrap_server.control.operator_wire import Arm

Capture = pytest.CaptureFixture[str]


async def test_a_group_is_armed_listed_and_disarmed(live: Live, capsys: Capture) -> None:
    (live.paths.root / "groups.yaml").write_text("groups:\n- {name: pool, members: ['n[2-3]']}\n")
    assert await live.command("deploy", "tiny", "--to", "pool") == 0
    capsys.readouterr()
    assert await live.command("node", "ls", "--group", "pool", "--json") == 0
    nodes = json.loads(capsys.readouterr().out)
    assert [(node["name"], node["state"]) for node in nodes] == [("n2", "armed"), ("n3", "armed")]
    assert nodes[0]["groups"] == ["pool", "all"]
    assert await live.command("disarm", "n[2-3]") == 0
    states = {node.name: node.state for node in await asyncio.to_thread(live.operator.nodes)}
    assert states == {"n1": "ready", "n2": "ready", "n3": "ready"}


async def test_variables_reach_the_node_as_text(live: Live) -> None:
    variables = "{role: web, slots: 8, share: 0.5, gpu: true}"
    group = f"{{name: pool, members: [n1], variables: {variables}}}"
    (live.paths.root / "groups.yaml").write_text(f"groups:\n- {group}\n")
    await asyncio.to_thread(live.operator.arm, Arm(nodes=("pool",), image="tiny"))
    token = (await live.api.register(register(), patience=0)).token
    job = await live.api.job(token, patience=0)
    assert job.variables == {"role": "web", "slots": "8", "share": "0.5", "gpu": "true"}
    assert job.groups == ("pool", "all")


async def test_a_range_with_a_stranger_arms_nobody(live: Live, capsys: Capture) -> None:
    assert await live.command("deploy", "tiny", "--to", "n[1-4]") == 1
    assert "no node 'n4'" in capsys.readouterr().err
    states = {node.state for node in await asyncio.to_thread(live.operator.nodes)}
    assert states == {"ready"}
