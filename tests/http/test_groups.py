# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups and ranges where an operator names nodes."""

import asyncio
import json

import pytest
from tests.http.conftest import Live

from swarmstrap_server import cli

Capture = pytest.CaptureFixture[str]


async def run(live: Live, *arguments: str) -> int:
    return await asyncio.to_thread(cli.main, ["--site", str(live.paths.root), *arguments])


async def test_a_group_is_armed_listed_and_disarmed(live: Live, capsys: Capture) -> None:
    (live.paths.root / "groups.yaml").write_text("groups:\n- {name: pool, members: ['n[2-3]']}\n")
    assert await run(live, "deploy", "tiny", "--to", "pool") == 0
    capsys.readouterr()
    assert await run(live, "node", "ls", "--group", "pool", "--json") == 0
    nodes = json.loads(capsys.readouterr().out)
    assert [(node["name"], node["state"]) for node in nodes] == [("n2", "armed"), ("n3", "armed")]
    assert nodes[0]["groups"] == ["pool", "all"]
    assert await run(live, "disarm", "n[2-3]") == 0
    states = {node.name: node.state for node in await asyncio.to_thread(live.operator.nodes)}
    assert states == {"n1": "ready", "n2": "ready", "n3": "ready"}


async def test_a_range_with_a_stranger_arms_nobody(live: Live, capsys: Capture) -> None:
    assert await run(live, "deploy", "tiny", "--to", "n[1-4]") == 1
    assert "no node 'n4'" in capsys.readouterr().err
    states = {node.state for node in await asyncio.to_thread(live.operator.nodes)}
    assert states == {"ready"}
