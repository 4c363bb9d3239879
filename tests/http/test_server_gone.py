# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that goes away while nodes deploy, and hears of it when it is back."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.http.conftest import Live, serving
from tests.http.node import DEADLINE, Lab, Node
from tests.http.spoiled import WHOLE, add_hook

from swarmstrap.effects import departure
from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.steps.storage import MountVolume
from swarmstrap.wire import UNHEARD, Unheard
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.nodes import SILENCE_SECONDS
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


async def deserted(site: SitePaths, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node whose server went while it ran its hook, and that has left for its new system."""

    def mount(step: MountVolume, root: Path) -> None:
        root.mkdir(exist_ok=True)

    monkeypatch.setattr(filesystems, "mount", mount)
    monkeypatch.setattr(departure, "_RETURN_SECONDS", 0.5)
    add_waiting_hook(site, lab)
    async with serving(site) as live:
        booting = await held_by_its_hook(live, lab)
    (lab.place / "server").unlink()
    return await booting


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
    node = await deserted(site, lab, monkeypatch)
    assert node.left == ["reboot"]
    assert any("GRUB" in step for step in node.written)
    assert "the server does not hear the end" in lab.console
    assert "swarmstrap events add n1 FILE" in " ".join(lab.console.split())
    assert "FAILED" not in lab.console


@dataclass(frozen=True)
class Told:
    """What `swarmstrap events add` said, and its status."""

    status: int
    out: str
    err: str


class Bringer:
    """An operator with the file that the node left in its system."""

    def __init__(self, live: Live, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._live = live
        self._file = file
        self._capsys = capsys

    async def brings(self, node: str = NODE, **changes: str) -> Told:
        """With some words of the file changed."""
        told = msgspec.json.decode(self._file.read_bytes(), type=Unheard)
        other = self._file.with_name("brought")
        other.write_bytes(msgspec.json.encode(msgspec.structs.replace(told, **changes)))
        status = await self._live.command("events", "add", node, str(other))
        return Told(status, *self._capsys.readouterr())


@pytest.fixture
async def back(site: SitePaths, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    """A server that was away while a node ended and is here again, minutes later."""
    await deserted(site, lab, monkeypatch)
    async with serving(site) as live:
        live.clock.now += 180
        yield live


@pytest.fixture
def operator(back: Live, lab: Lab, capsys: pytest.CaptureFixture[str]) -> Bringer:
    return Bringer(back, lab.place / "target" / UNHEARD.lstrip("/"), capsys)


async def test_what_was_unheard_is_brought_home(back: Live, lab: Lab, operator: Bringer) -> None:
    deployments = back.services.deployments
    assert deployments.view(NODE).state == "deploying"
    told = await operator.brings()
    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("n1: ")
    assert told.out.endswith("heard before; tiny:1 is deployed\n")
    own = [r.event for r in deployments.store.events(NODE) if r.event.sequence]
    assert own == [event for event in lab.events if event.kind != "progress"]
    assert deployments.view(NODE).state == "deployed"
    before = deployments.store.events(NODE)
    told = await operator.brings()
    assert told.out.startswith("n1: 0 new events, ")
    *same, note = deployments.store.events(NODE)
    assert (same, note.event.name) == (before, "server/brought")


async def test_a_node_that_was_given_up_turns_out_to_be_deployed(
    back: Live, operator: Bringer
) -> None:
    back.clock.now += SILENCE_SECONDS
    back.services.deployments.tick()
    assert back.services.deployments.view(NODE).state == "failed"
    assert (await operator.brings()).status == 0
    assert back.services.deployments.view(NODE).state == "deployed"


async def test_without_the_last_word_the_node_is_not_installed_again(
    back: Live, lab: Lab, operator: Bringer
) -> None:
    file = lab.place / "target" / UNHEARD.lstrip("/")
    told = msgspec.json.decode(file.read_bytes(), type=Unheard)
    until = next(n for n, e in enumerate(told.events) if e.name.startswith("do/settle"))
    cut = msgspec.structs.replace(told, events=told.events[: until + 1])
    file.write_bytes(msgspec.json.encode(cut))
    assert (await operator.brings()).status == 0
    view = back.services.deployments.view(NODE)
    assert view.deployment is not None
    assert (view.state, view.deployment.reason) == (
        "deployed",
        "its system has kept its events, the last of them from phase settle",
    )
    assert not back.services.deployments.grants(view.deployment)


async def test_what_belongs_elsewhere_is_refused(back: Live, operator: Bringer) -> None:
    """In one line, and nothing of it is taken."""
    before = back.services.deployments.store.events(NODE)
    for told, said in (
        (await operator.brings("n2"), "of n1, not of n2 (swarmstrap events add n1 FILE)"),
        (await operator.brings("n9"), "there is no node 'n9'"),
        (await operator.brings(deployment="d0"), "there is no deployment d0 here (it was another"),
        (await operator.brings(session="00"), "of an earlier boot: tiny:1 was begun once more"),
    ):
        assert (told.status, told.out, told.err.count("\n")) == (Exit.FAILED, "", 1)
        assert said in told.err
    back.clock.now -= 150
    told = await operator.brings()
    assert told.status == Exit.REFUSED
    assert "node n1 is being deployed, phase " in told.err
    assert back.services.deployments.store.events(NODE) == before


async def test_a_file_of_another_kind(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await live.command("events", "add", NODE, str(tmp_path / "none")) == Exit.FAILED
    assert "none: No such file or directory" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[]")))
    assert await live.command("events", "add", NODE, "-") == Exit.FAILED
    assert f"standard input is not a {UNHEARD} of a node: Expected" in capsys.readouterr().err
