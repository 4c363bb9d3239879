# SPDX-License-Identifier: GPL-2.0-or-later
"""What bad input gets: one clear line wherever somebody looks, whole disks, and a known end."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.http.conftest import Live, serving
from tests.http.node import DEADLINE, Booted, Lab
from tests.http.spoiled import AGAIN, CASES, WHOLE, Case, add_hook, disks, fails_by

from swarmstrap.effects import host
from swarmstrap.effects.images.unpack import Writers
from swarmstrap_server.control import redeeming
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.site import pki
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

NODE = "n1"
# What the node's file says to do after a failure, and how the machine is then left.
POLICIES = {
    "retry, attempts: 3, then: poweroff": ["poweroff"],
    "poweroff": ["poweroff"],
    "reboot": ["reboot"],
    "shell": ["shell", "reboot"],
}


@pytest.fixture
async def lab(
    site: SitePaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Lab]:
    caplog.set_level("INFO")
    writers = Writers.start(0)
    yield Lab(site.keys, tmp_path / "node", writers, monkeypatch, caplog)
    await writers.stop()


async def boot(live: Live, lab: Lab, case: Case) -> Booted:
    case.before(live)
    order = Arm(nodes=(NODE,), image="tiny", minutes=30)
    await asyncio.to_thread(live.operator.arm, order)
    case.after(live)
    return await lab.boot_watched(live, NODE, case.found)


@pytest.mark.parametrize("name", CASES)
async def test_one_clear_line_everywhere_and_not_a_byte_written(
    name: str, live: Live, lab: Lab
) -> None:
    case = CASES[name]
    fails_by(live.paths, "poweroff")
    booted = await boot(live, lab, case)

    assert booted.written == []
    assert booted.left == (["poweroff"] if case.has_job else ["reboot"])
    assert live.services.deployments.view(NODE).state == case.state

    assert booted.box.startswith(f"FAILED: {case.part} on {NODE} "), booted.console
    # Wrapped to the screen, so without the alignment of a table.
    assert re.search(re.sub(r" +|\\s\+", " +", case.console or case.message), booted.box)

    [record] = booted.failures
    assert record.event.name == case.event
    assert re.fullmatch(case.message, record.event.description)
    assert re.fullmatch(case.hint, record.event.hint)

    told = [line for line in booted.watched.splitlines() if "FAILED" in line]
    assert len(told) == 1
    first = record.event.description.splitlines()[0]
    assert told[0].startswith(f"{NODE}  {case.event}  FAILED {first}")
    assert record.event.hint in booted.watched

    for text in (booted.console, booted.watched, *(r.event.description for r in booted.records)):
        assert "Traceback" not in text


@pytest.mark.parametrize("action", POLICIES)
async def test_the_node_is_left_as_its_job_says(action: str, live: Live, lab: Lab) -> None:
    fails_by(live.paths, action)
    booted = await boot(live, lab, CASES["no disk matches"])
    assert booted.left == POLICIES[action]
    assert booted.written == []
    assert len(booted.failures) == 1  # what cannot change is not tried again


async def test_a_token_that_comes_too_late(
    live: Live, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redeeming, "TOKEN_SECONDS", 0.0)
    late = Case(message=r"token expired at .+", hint=AGAIN, event="server/refused", part="ask")
    booted = await boot(live, lab, late)
    [record] = booted.failures
    assert re.fullmatch(late.message, record.event.description)
    assert (booted.written, booted.left) == ([], ["reboot"])
    assert live.services.deployments.view(NODE).state == "armed"  # the next boot gets a new one


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no licence; exit 3", "hook 50-refuses exited 3"),
        ("sleep 1000", "hook 50-refuses: .* did not end within 1 s: .*"),
    ],
)
async def test_a_hook_that_fails_is_tried_as_often_as_the_job_says(
    script: str, message: str, live: Live, lab: Lab
) -> None:
    add_hook(live.paths, script)
    with live.paths.settings.open("a") as settings:
        settings.write("defaults: {hook_seconds: 1}\n")
    fails_by(live.paths, "retry, attempts: 2, then: shell")
    booted = await boot(live, lab, Case(message=message, hint=".+"))

    while_trying = r" \(while trying to run hook 50-refuses in the initramfs \(at most 1 s\)\)"
    ends = [r.event for r in booted.records if r.event.kind == "finish" and r.event.hint]
    assert [end.result for end in ends] == ["warning", "fail"]
    for end in ends:
        assert re.fullmatch(r"do/hooks/\d+", end.name)
        assert re.fullmatch(message + while_trying, end.description)
    assert booted.box.count("FAILED: hooks on n1 hook 50-refuses") == 2
    assert "trying again in" in booted.console
    assert "run it by hand with swarmstrap.break=hooks" in booted.box

    deployment = live.services.deployments.view(NODE).deployment
    assert deployment is not None
    assert (deployment.state, deployment.reason) == ("failed", ends[-1].description)
    assert booted.watched.count("FAILED hook 50-refuses") == 1
    assert f"n1 failed: {deployment.reason}" in booted.watched
    assert "Traceback" not in booted.console + booted.watched

    assert booted.left == ["shell", "reboot"]
    assert booted.written[0].startswith("wipe /dev/vda")
    assert not any("GRUB" in step for step in booted.written)  # nothing half done is bootable


async def test_a_hooks_last_words_are_in_the_event_log(live: Live, lab: Lab) -> None:
    add_hook(live.paths, "echo no licence; exit 3")
    fails_by(live.paths, "poweroff")
    booted = await boot(live, lab, Case(message="", hint=""))
    assert "50-refuses: no licence" in [record.event.description for record in booted.records]
    assert "50-refuses: no licence" in booted.console
    assert booted.left == ["poweroff"]


async def test_a_server_that_comes_late_hears_of_every_try(site: SitePaths, lab: Lab) -> None:
    async with serving(site) as live:
        await asyncio.to_thread(live.operator.arm, Arm(nodes=(NODE,), image="tiny"))
    booting = asyncio.create_task(lab.boot(live.node, disks()))
    await asyncio.wait_for(lab.hears("trying again in", times=2), DEADLINE)
    async with serving(site) as live:
        node = await booting
        told = [record.event.description for record in live.services.deployments.store.events(NODE)]
        assert live.services.deployments.view(NODE).state == "failed"  # it has no disk
    waiting = f"{live.node} does not answer: Connection refused; trying again in"
    assert sum(line.startswith(waiting) for line in told) >= 2
    assert (node.written, node.left) == ([], ["reboot"])


async def test_a_server_that_never_comes(
    site: SitePaths, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SERVER_SECONDS", 0.5)
    url = read_site(site.root).node_url
    node = await lab.boot(url, WHOLE)
    assert " ".join(lab.console.split()).count("trying again in") >= 2
    assert f"!!! FAILED: ask\n!!! {url} does not answer: Connection refused\n" in lab.console
    assert "!!! what to do: check the server, the cable and the address" in lab.console
    assert "Traceback" not in lab.console
    assert (node.written, node.left) == ([], ["reboot"])


async def test_the_server_of_another_site(live: Live, lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(pki.make_ca("other").certificate)
    lab.patch.setattr(host, "CA", other)
    await asyncio.to_thread(live.operator.arm, Arm(nodes=(NODE,), image="tiny"))
    booted = await lab.boot_watched(live, NODE, WHOLE)
    assert re.match(
        f"FAILED: ask {live.node} is not this site's server: .*certificate.* "
        "what to do: check the address, or build the initramfs with this site's CA",
        booted.box,
    )
    assert "trying again" not in booted.console
    assert (booted.written, booted.left) == ([], ["reboot"])
    assert live.services.deployments.view(NODE).state == "armed"
