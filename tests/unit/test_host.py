# SPDX-License-Identifier: GPL-2.0-or-later
"""What the node's hands do around the steps: cleaning up, the log that stays, and leaving."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.plans.test_plans import inventory_of, job_of, manifest_of
from tests.trees import needs_root
from tests.unit.test_selectors import inventory

from swarmstrap.cmdline import Settings
from swarmstrap.effects import departure, finish, host, log
from swarmstrap.effects.console import Console
from swarmstrap.effects.departure import Departure
from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.effects.hands import INSTALL_LOG, Decided, Deployer
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.host import Machine
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.run import run
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.effects.transfer.staged import InMemory
from swarmstrap.effects.transfer.swarm import Torrent
from swarmstrap.errors import StepFailed, Unreachable
from swarmstrap.failure import Verdict
from swarmstrap.plan import make_plan
from swarmstrap.reporter import Reporter
from swarmstrap.steps.leaving import FinishBoot, Settle
from swarmstrap.steps.storage import MountVolume
from swarmstrap.wire import UNHEARD, Event, Events, Release, Seeding, Taken, Unheard

CASE = Path(__file__).parent.parent / "plans" / "kexec"
SETTINGS = Settings("https://192.0.2.1:8443")


class Node(Machine):
    """It has a plan that ends in kexec, asks no server, and is left only in `left`."""

    def __init__(self, events: list[Event], writers: Writers) -> None:
        report, console = Reporter([events.append]), Console([])
        super().__init__(SETTINGS, report, console, writers)
        self.report = report
        inventory, job, manifest = inventory_of(CASE), job_of(CASE), manifest_of(CASE)
        plan = make_plan(inventory, job, manifest)
        self.last = plan.steps[-1]
        self.deployer = Deployer(
            Decided(inventory, job, manifest, plan),
            Source(manifest, Torrent("image", 1 << 16, (), b""), "", (), (), "", ""),
            root=filesystems.TARGET,
            seeding=_released,
            download=Download(writers, report, root=filesystems.TARGET, memory=host.STAGING),
            departure=Departure(report, console),
            report=report,
        )
        self.left: list[str] = []


async def _released(_: Seeding) -> Release:
    return Release(leave=True)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def node(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    target, memory = tmp_path / "target", tmp_path / "memory"
    target.mkdir()
    monkeypatch.setattr(filesystems, "TARGET", target)
    monkeypatch.setattr(host, "STAGING", memory)
    writers = Writers.start(1)
    node = Node(events, writers)
    monkeypatch.setattr(finish, "leave", node.left.append)
    yield node
    await writers.stop()
    filesystems.release(target)
    InMemory(memory).remove()


def mount_some_of_it(tmp_path: Path) -> None:
    """As far as an attempt may have come: two of the volumes, and the staging area."""
    for point in (tmp_path / "target", tmp_path / "target/var"):
        point.mkdir(exist_ok=True)
        run(["mount", "-t", "tmpfs", "tmpfs", point], timeout=30)
    InMemory(tmp_path / "memory").make(4096, "image-1")


@needs_root
async def test_after_a_failure_only_what_came_from_the_swarm_stays_mounted(
    node: Node, tmp_path: Path
) -> None:
    mount_some_of_it(tmp_path)
    with (tmp_path / "target/var/busy").open("w"):
        await node.deployer.clean_up()
    assert mount_points(tmp_path) == [str(tmp_path / "memory")]
    await node.deployer.clean_up()


@needs_root
async def test_one_thing_that_cannot_be_undone_does_not_keep_the_rest(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(memory: InMemory) -> None:
        raise StepFailed(f"umount did not end: {memory.place}")

    mount_some_of_it(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(InMemory, "abandon", refuse)
        await node.deployer.clean_up()
    assert mount_points(tmp_path) == [str(tmp_path / "memory")]


async def test_a_kernel_that_cannot_be_loaded_means_a_reboot(
    node: Node, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "read", lambda: "what was done\n")
    await node.deployer.leave(Settle())
    kept = tmp_path / "target" / INSTALL_LOG.lstrip("/")
    assert kept.read_text() == "what was done\n"
    assert kept.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "target" / UNHEARD.lstrip("/")).exists()
    [warning] = [event for event in events if event.result == "warning"]
    assert warning.description.startswith("no kexec, rebooting instead: kexec ended with")
    assert isinstance(node.last, FinishBoot)
    await node.deployer.leave(node.last)
    assert node.left == ["reboot"]


async def unheard_by_a_dead_server(node: Node) -> None:
    asked = asyncio.Event()

    async def send(events: Events) -> Taken:
        asked.set()
        raise Unreachable("nobody is there")

    node.report.start("do/settle/1", "settle")
    node.report.connect(send)
    await asyncio.wait_for(asked.wait(), 10)


async def test_what_a_dead_server_did_not_hear_stays_on_the_disk(
    node: Node, tmp_path: Path
) -> None:
    await unheard_by_a_dead_server(node)
    await node.deployer.leave(Settle())
    await node.report.close()
    kept = tmp_path / "target" / UNHEARD.lstrip("/")
    told = msgspec.json.decode(kept.read_bytes(), type=Unheard)
    assert (told.deployment, told.events[0].description) == ("d-2026-001", "settle")
    assert kept.stat().st_mode & 0o777 == 0o640


@needs_root
async def test_the_very_end_is_written_to_the_disk_as_well(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all was unmounted long before."""
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 16 << 20)
    run(["mkfs.ext4", "-q", disk], timeout=60)
    monkeypatch.setattr(departure, "_FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(departure, "_RETURN_SECONDS", 0.1)

    def mount(step: MountVolume, root: Path) -> None:
        if step.target == "/":
            run(["mount", disk, root], timeout=60)

    monkeypatch.setattr(filesystems, "mount", mount)
    await unheard_by_a_dead_server(node)
    assert isinstance(node.last, FinishBoot)
    node.report.start("do/finish/2", "leave")
    node.report.succeed()
    await node.deployer.leave(node.last)
    assert mount_points(tmp_path) == []
    assert node.left == ["reboot"]
    run(["mount", disk, tmp_path / "target"], timeout=60)
    kept = tmp_path / "target" / UNHEARD.lstrip("/")
    events = msgspec.json.decode(kept.read_bytes(), type=Unheard).events
    assert [(event.kind, event.name) for event in events] == [
        ("start", "do/settle/1"),
        ("start", "do/finish/2"),
        ("finish", "do/finish/2"),
        ("log", "do/finish/2"),
    ]
    assert events[-1].hint == "once the server is back: swarmstrap events add node7 FILE"


async def test_a_disk_that_is_not_there_at_the_end_does_not_keep_the_node(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mount(step: MountVolume, root: Path) -> None:
        raise StepFailed("no such disk")

    monkeypatch.setattr(departure, "_FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(departure, "_RETURN_SECONDS", 0.1)
    monkeypatch.setattr(filesystems, "mount", mount)
    assert isinstance(node.last, FinishBoot)
    await unheard_by_a_dead_server(node)
    await node.deployer.leave(node.last)
    assert events[-1].description.endswith("when the system was done: no such disk")
    assert node.left == ["reboot"]


@pytest.mark.parametrize(
    ("verdict", "how"),
    [
        (Verdict("reboot", 0.0), "reboot"),
        (Verdict("poweroff", 0.0), "poweroff"),
        (Verdict("shell", 0.0, then="poweroff"), "poweroff"),
        (Verdict("shell", 0.0), "reboot"),
    ],
)
async def test_after_a_failure_it_leaves_as_the_verdict_says(
    node: Node, verdict: Verdict, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shells: list[float] = []

    def nobody_comes(consoles: list[str], patience: float) -> None:
        shells.append(patience)
        raise StepFailed("nobody typed")

    monkeypatch.setattr(finish, "shell", nobody_comes)
    await node.follow(verdict)
    assert node.left == [how]
    assert shells == ([1800.0] if verdict.action == "shell" else [])


async def test_a_retry_leaves_nothing(node: Node) -> None:
    await node.follow(Verdict("retry", 0.0, attempts_left=1))
    assert node.left == []


@needs_root
async def test_a_controller_without_a_driver_is_said_at_once(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udev, "settle", lambda: None)
    monkeypatch.setattr(udev, "look", lambda _: inventory("no-disk"))
    assert await node.look() == inventory("no-disk")
    (said,) = [event for event in events if event.result == "warning"]
    assert said.description == "no driver for RAID controller 1000:10e2 at 0000:21:00.0"
