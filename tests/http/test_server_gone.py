# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that goes away while nodes deploy, and hears of it when it is back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.http.conftest import Live, serving
from tests.http.node import DEADLINE, Lab, Node
from tests.http.spoiled import WHOLE, add_hook

from swarmstrap.effects import departure
from swarmstrap.effects.images.unpack import Writers
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.site.paths import SitePaths

NODE = "n1"


@pytest.fixture
async def lab(
    site: SitePaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Lab]:
    monkeypatch.setattr(departure, "_FLUSH_SECONDS", 0.5)
    caplog.set_level("INFO")
    writers = Writers.start(0)
    yield Lab(site.keys, tmp_path / "node", writers, monkeypatch, caplog)
    await writers.stop()


def add_waiting_hook(site: SitePaths, lab: Lab) -> None:
    """It runs until the file `server` in the lab's place is gone."""
    add_hook(site, f"while [ -e {lab.place}/server ]; do sleep 0.1; done")
    (lab.place / "server").touch()


async def held_by_its_hook(live: Live, lab: Lab) -> asyncio.Task[Node]:
    """The node's deployment, in the hook that waits."""
    await asyncio.to_thread(live.operator.arm, Arm(nodes=(NODE,), image="tiny"))
    booting = asyncio.create_task(lab.boot(live.node, WHOLE))
    await asyncio.wait_for(lab.hears("run hook 50-refuses", times=1), DEADLINE)
    return booting


async def test_the_report_arrives_when_the_server_is_back(site: SitePaths, lab: Lab) -> None:
    add_waiting_hook(site, lab)
    async with serving(site) as live:
        booting = await held_by_its_hook(live, lab)
        assert live.services.deployments.view(NODE).state == "deploying"
    (lab.place / "server").unlink()
    await asyncio.wait_for(lab.hears("reboot", times=1), DEADLINE)
    async with serving(site) as live:
        node = await booting
        assert live.services.deployments.view(NODE).state == "deployed"
        events = [record.event for record in live.services.deployments.store.events(NODE)]
    told = {event.sequence for event in events if not event.name.startswith("server/")}
    assert told == {event.sequence for event in lab.events}
    assert (node.left, "FAILED" in lab.console) == (["reboot"], False)


async def test_a_server_that_is_gone_for_good_does_not_keep_the_node(
    site: SitePaths, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departure, "_RETURN_SECONDS", 0.5)
    add_waiting_hook(site, lab)
    async with serving(site) as live:
        booting = await held_by_its_hook(live, lab)
    (lab.place / "server").unlink()
    node = await booting
    assert node.left == ["reboot"]
    assert any("GRUB" in step for step in node.written)
    assert "the server does not hear the end" in lab.console
    assert "FAILED" not in lab.console
