# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes on cables of their own, and what can happen to cables: cut, cut off, lossy."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.bench.links import Machine

from swarmstrap.ledger import Received
from swarmstrap_server.site.paths import SitePaths

_READY_SECONDS = 60.0
_END_SECONDS = 20.0


@dataclass
class Node:
    """One boot of a node; `have` counts pieces, `told` is what the server would hear."""

    machine: Machine
    folder: Path
    process: asyncio.subprocess.Process
    ready: bool = False
    have: int = 0
    received: Received | None = None
    told: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            match word:
                case "ready":
                    self.ready = True
                case "have":
                    self.have = int(rest)
                case "told":
                    self.told.append(rest)
                case "done":
                    self.received = msgspec.json.decode(rest, type=Received)
                case _:
                    raise AssertionError(f"a node said {line!r}")
            self._news.set()
        self.process.stdout = None
        self._news.set()

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def until(self, pieces: int) -> None:
        await self._wait(lambda: self.have >= pieces, f"{pieces} pieces")

    async def until_ready(self) -> None:
        await self._wait(lambda: self.ready, "its first word")

    async def done(self) -> Received:
        await self._wait(lambda: self.received is not None, "the image")
        assert self.received is not None
        return self.received

    async def _wait(self, reached: Callable[[], bool], what: str) -> None:
        """To be called under a deadline."""
        while not reached():
            if self.process.stdout is None:
                raise AssertionError(f"{self.machine.netns} ended while waiting for {what}")
            self._news.clear()
            await self._news.wait()


class Nodes:
    """Boots nodes that fetch the site's image below `folder`; whatever still runs ends with it."""

    def __init__(self, site: SitePaths, image: str, folder: Path, help_seconds: float) -> None:
        self._arguments = (str(site.root), image)
        self._folder = folder
        self._help = str(help_seconds)
        self._running: list[Node] = []
        self._listening: list[asyncio.Task[None]] = []

    async def boot(self, *machines: Machine) -> list[Node]:
        """All of them begin at once."""
        booted = await asyncio.gather(*map(self._boot, machines))
        for node in booted:
            node.begin()
        return booted

    async def _boot(self, machine: Machine) -> Node:
        """With nothing of an earlier boot: its staging area was memory."""
        folder = self._folder / machine.netns
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        where = (str(folder), str(machine.address), self._help)
        process = await asyncio.create_subprocess_exec(
            *machine.command(sys.executable, "-m", "tests.swarm.node", *self._arguments, *where),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        node = Node(machine, folder / str(machine.address), process)
        self._running.append(node)
        self._listening.append(asyncio.create_task(node.listen()))
        async with asyncio.timeout(_READY_SECONDS):
            await node.until_ready()
        return node

    async def power_off(self, node: Node) -> None:
        """Between two packets, so that nobody hears of it."""
        with cut(node.machine):
            await self._kill(node)

    async def _kill(self, node: Node) -> None:
        with contextlib.suppress(ProcessLookupError):
            node.process.kill()
        await asyncio.wait_for(node.process.wait(), _END_SECONDS)

    async def end(self) -> None:
        for node in self._running:
            await self._kill(node)
        await asyncio.gather(*self._listening)


@asynccontextmanager
async def nodes(
    site: SitePaths, image: str, folder: Path, help_seconds: float
) -> AsyncIterator[Nodes]:
    made = Nodes(site, image, folder, help_seconds)
    try:
        yield made
    finally:
        await made.end()


@contextmanager
def cut(machine: Machine) -> Iterator[None]:
    """The cable is out."""
    _run("ip", "-n", machine.netns, "link", "set", "eth0", "down")
    try:
        yield
    finally:
        _run("ip", "-n", machine.netns, "link", "set", "eth0", "up")


@contextmanager
def cut_off(island: Sequence[Machine]) -> Iterator[None]:
    """These reach each other and nobody else, as behind a switch that lost its uplink."""
    rules = [f"--append INPUT --source {m.address} --jump ACCEPT" for m in island]
    rules += [f"--append OUTPUT --destination {m.address} --jump ACCEPT" for m in island]
    rules += [f"--append {chain} --jump DROP" for chain in ("INPUT", "OUTPUT")]
    with _filtered(island, rules):
        yield


@contextmanager
def lossy(machines: Sequence[Machine], share: float) -> Iterator[None]:
    """Of the packets that come in, so many are lost, 0 to 1."""
    lost = f"--match statistic --mode random --probability {share}"
    with _filtered(machines, [f"--append INPUT {lost} --jump DROP"]):
        yield


@contextmanager
def _filtered(machines: Sequence[Machine], rules: Sequence[str]) -> Iterator[None]:
    for machine in machines:
        _filter(machine, rules)
    try:
        yield
    finally:
        for machine in machines:
            _filter(machine, ())


def _filter(machine: Machine, rules: Sequence[str]) -> None:
    """These and no others; all of them at once."""
    table = "\n".join(("*filter", *rules, "COMMIT", ""))
    _run(*machine.command("iptables-restore"), table=table)


def _run(*command: str, table: str | None = None) -> None:
    subprocess.run(command, check=True, timeout=_END_SECONDS, input=table, text=True)
