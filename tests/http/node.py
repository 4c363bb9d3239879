# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose agent is real, from the story to the console, and whose machine is not."""

import asyncio
import contextlib
import io
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console as Screen
from tests.http.conftest import ADDRESS, Live

from swarmstrap import failure
from swarmstrap.cmdline import Settings
from swarmstrap.effects import finish, host, http, network
from swarmstrap.effects import log as logs
from swarmstrap.effects.console import Console, Terminal
from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.finish import Leave
from swarmstrap.effects.host import Machine
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.system import hooks
from swarmstrap.errors import Unreachable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.sshsig import Signers
from swarmstrap.steps import Plan, Step
from swarmstrap.steps.leaving import FinishBoot, LeavingStep
from swarmstrap.steps.system import RunHook, SystemStep
from swarmstrap.story import Hands, run
from swarmstrap.wire import Event, Job
from swarmstrap_server.commands.watch import watch
from swarmstrap_server.control.operator_wire import Record, Snapshot

DEADLINE = 60.0


class Noting:
    """Hands that note what would be written. Hooks are run, and the end is the real one's."""

    def __init__(self, real: Hands, written: list[str]) -> None:
        self._real = real
        self._written = written

    async def note(self, step: Step) -> None:
        self._written.append(str(step))

    storage = image = note

    async def system(self, step: SystemStep) -> None:
        await (self._real.system if isinstance(step, RunHook) else self.note)(step)

    async def leave(self, step: LeavingStep) -> None:
        await (self._real.leave if isinstance(step, FinishBoot) else self.note)(step)

    async def clean_up(self) -> None:
        await self._real.clean_up()


class Node(Machine):
    """It has the hardware of `found`. What would write to it is noted in `written`, and how it is
    left, by shell, reboot or power-off, in `left`.
    """

    found: Inventory

    def __init__(
        self, settings: Settings, report: Reporter, console: Console, writers: Writers
    ) -> None:
        super().__init__(settings, report, console, writers)
        self.written: list[str] = []
        self.left: list[str] = []

    async def look(self) -> Inventory:
        return self.found

    def hands(self, inventory: Inventory, job: Job, manifest: Manifest, plan: Plan) -> Hands:
        return Noting(super().hands(inventory, job, manifest, plan), self.written)

    def leave(self, how: Leave) -> None:
        self.left.append(how)

    def open_shell(self, consoles: list[str], patience: float) -> None:
        self.left.append("shell")


@dataclass(frozen=True)
class Booted:
    """One boot of a node, as it is seen at the machine and on the server."""

    written: list[str]
    left: list[str]
    console: str
    watched: str
    records: list[Record]

    @property
    def box(self) -> str:
        """What the console says large, on one line."""
        lines = [line[4:] for line in self.console.splitlines() if line.startswith("!!! ")]
        return " ".join(" ".join(lines).split())

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if record.event.result == "fail"]


@dataclass
class Lab:
    """Boots nodes, one after the other, that trust the CA and the publisher in `keys`."""

    keys: Path
    place: Path
    writers: Writers
    patch: pytest.MonkeyPatch
    log: pytest.LogCaptureFixture
    events: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.place.mkdir()
        self.patch.setattr(host, "CA", self.keys / "ca.crt")
        signers = Signers(self.keys / "allowed_signers", self.keys / "revoked_keys")
        self.patch.setattr(host, "SIGNERS", signers)
        self.patch.setattr(host, "FLOORS", self.keys.parent / "floors.json")
        self.patch.setattr(network, "configure", lambda settings, tell: ADDRESS)
        self.patch.setattr(filesystems, "TARGET", self.place / "target")
        self.patch.setattr(logs, "tail", lambda lines: self.log.text)
        self.patch.setattr(hooks, "_PLACE", self.place / "hooks")
        # Nobody reads the screen here, and nobody comes to plug the cable in.
        for module, name in (
            (failure, "_READ_SECONDS"),
            (failure, "_NOT_ARMED_SECONDS"),
            (failure, "_FIRST_RETRY_SECONDS"),
            (http, "_FIRST_DELAY"),
        ):
            self.patch.setattr(module, name, 0.05)

    @property
    def console(self) -> str:
        return (self.place / "console").read_text()

    async def hears(self, words: str, *, times: int) -> None:
        """Wait until so many events of a node say so."""
        while sum(words in event.description for event in self.events) < times:
            self.news.clear()
            await self.news.wait()

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.news.set()

    async def boot(self, server: str, found: Inventory) -> Node:
        """The agent's part of one boot, to its end; what it says is in `console`."""
        fd = os.open(self.place / "console", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            console = Console([Terminal("ttyS0", fd, screen=False)])
            report = Reporter([console.hear, self._hear])
            settings = Settings(server, boot_mac=found.boot.pxe_interface)
            node = Node(settings, report, console, self.writers)
            node.found = found
            self.patch.setattr(finish, "leave", node.leave)
            self.patch.setattr(finish, "shell", node.open_shell)
            async with asyncio.timeout(DEADLINE):
                await run(node, report, settings)
            return node
        finally:
            os.close(fd)

    async def boot_watched(self, live: Live, name: str, found: Inventory) -> Booted:
        """The same, while an operator runs `swarmstrap watch NAME`."""
        screen = Screen(file=io.StringIO(), width=400, color_system=None)
        begun = threading.Event()
        messages = _announced(live.operator.stream(), begun)
        watching = asyncio.create_task(asyncio.to_thread(_watch, messages, name, screen))
        try:
            assert await asyncio.to_thread(begun.wait, DEADLINE)
            node = await self.boot(live.node, found)
        finally:
            live.services.deployments.feed.end()
            await watching
        assert isinstance(screen.file, io.StringIO)
        return Booted(
            node.written,
            node.left,
            self.console,
            screen.file.getvalue(),
            live.services.deployments.store.events(name),
        )


def _announced(
    messages: Iterable[Snapshot | Record], begun: threading.Event
) -> Iterator[Snapshot | Record]:
    for message in messages:
        begun.set()
        yield message


def _watch(messages: Iterable[Snapshot | Record], name: str, screen: Screen) -> None:
    """To the end of the stream at the latest: not every refusal ends a deployment."""
    with contextlib.suppress(Unreachable):
        watch(messages, [name], screen)
