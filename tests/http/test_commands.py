# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands of an operator against a live server: what they print, and how they end."""

import json

import pytest
from tests.http.conftest import MAC, Live, inventory, register

from swarmstrap.manifest import parse_manifest
from swarmstrap.plan import make_plan
from swarmstrap_server import cli
from swarmstrap_server.commands.exits import Exit

Capture = pytest.CaptureFixture[str]


async def test_deploy_arms_and_node_ls_says_so(live: Live, capsys: Capture) -> None:
    assert await live.command("deploy", "tiny", "--to", "n1", "n3", "--for", "5m") == 0
    assert "n[1,3] are armed for tiny:1 until " in capsys.readouterr().out
    assert await live.command("node", "ls") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1][:5] == ["n1", "armed", "tiny:1", MAC, "until"]
    assert rows[2][:2] == ["n2", "ready"]


async def test_deploy_signs_the_hooks_where_the_key_is(live: Live, capsys: Capture) -> None:
    (live.paths.root / "hooks" / "chroot" / "10-a").write_text("#!/bin/sh\n")
    assert await live.command("deploy", "tiny", "--to", "n1", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == "signed hook 10-a\n"
    assert [member["state"] for member in json.loads(captured.out)["members"]] == ["booting"]


async def test_the_plan_on_the_server_is_the_nodes_own(live: Live, capsys: Capture) -> None:
    registered = await live.api.register(register(), patience=0)
    assert registered.token == ""
    assert await live.command("deploy", "tiny", "--to", "n1") == 0
    capsys.readouterr()
    assert await live.command("plan", "n1", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    token = (await live.api.register(register(), patience=0)).token
    job = await live.api.job(token, patience=0)
    plan = make_plan(inventory(), job, parse_manifest(job.manifest))
    assert (printed["digest"], printed["lines"]) == (plan.digest, list(plan.lines()))
    (entry,) = printed["disks"]
    (verdict,) = (found for found in entry["verdicts"] if found["chosen"])
    assert (entry["id"], verdict["disk"]["name"]) == ("system", "/dev/vda")
    assert verdict["reason"] == "the smallest of 1 that fit: size >= 4GiB"
    assert any(line.startswith("write a GPT to /dev/vda") for line in printed["lines"])
    assert await live.command("plan", "n1") == 0
    first, taken, *_ = capsys.readouterr().out.splitlines()
    assert first == "disk system:"
    assert taken.startswith("* /dev/vda ")


async def test_node_show(live: Live, capsys: Capture) -> None:
    await live.api.register(register(), patience=0)
    assert await live.command("node", "show", "n1") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("n1: ready\n")
    assert "/dev/vda: 20 GiB" in shown
    assert "server/not-armed" in shown


async def test_disarm_takes_it_back(live: Live, capsys: Capture) -> None:
    assert await live.command("deploy", "tiny", "--to", "n1") == 0
    assert await live.command("disarm", "n1") == 0
    capsys.readouterr()
    assert await live.command("node", "ls", "--json") == 0
    states = {node["name"]: node["state"] for node in json.loads(capsys.readouterr().out)}
    assert states["n1"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy", "tiny", "--to", "n11"], "no node 'n11', did you mean 'n1'?"),
        (["deploy", "tiny:", "--to", "n1"], "'tiny:' has no version after the colon"),
        (["deploy", "huge", "--to", "n1"], "there is no image huge (images of this site: tiny:1)"),
        (["plan", "n1"], "the hardware of n1 is not known yet"),
        (["plan", "n9"], "no node 'n9'"),
        (["node", "show", "nobody"], "no node 'nobody'"),
        (["image", "rm", "tiny"], "say which version to remove"),
        (["image", "show", "tiny:2"], "there is no image tiny:2"),
        (["capture", "/nonexistent", "x"], "/nonexistent"),
    ],
)
async def test_what_cannot_be_done_is_one_line(
    live: Live, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert await live.command(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("swarmstrap: ")
    assert message in error
    assert error.count("\n") == 1


def test_no_server_and_wrong_usage(template: object, capsys: Capture) -> None:
    assert cli.main(["--site", str(template), "watch"]) == Exit.UNREACHABLE
    assert "(start it: swarmstrap serve)" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        cli.main(["deploy", "tiny", "--to", "n1", "--for", "soon"])
    assert usage.value.code == Exit.USAGE
    assert "'soon' is not a time" in capsys.readouterr().err
