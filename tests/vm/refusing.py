# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual nodes whose deployment has to fail: powered on, heard to their end, and looked at."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm.systems import BUILD, DEMO

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import demo, files
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network, network
from swarmstrap_server.lab.serving import serving
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.site.paths import SitePaths

# On the reference machine, with one guest.
SECONDS, QUIET = 480.0, 150.0
AT_ONCE = 2
# Of the filesystem below, in which holes begin and end.
BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Case:
    """A node, what puts on its system disk what is there before, how it is to end by its own
    policy, and the line after which its system disk is unplugged.
    """

    node: VirtualNode
    fill: Callable[[Path], None] | None = None
    end: End = "power-off"
    unplugged_at: str = ""


@dataclass
class Run:
    """One node's power-on: its files, the digests of its disks before it, its console, how it
    ended, and what the server made of it.
    """

    files: files.NodeFiles
    before: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    ended: Ended | None = None
    deployment: Deployment | None = None

    def box(self) -> str:
        """What the console says large, on one line."""
        return " ".join(" ".join(line[4:] for line in self.lines if line[:4] == "!!! ").split())

    def changed(self) -> list[str]:
        """The serials of the disks that are not as they were before, decoys among them."""
        after = _digests(self.files)
        return [serial for serial, digest in self.before.items() if after[serial] != digest]

    def refused(self) -> Deployment:
        """What the server knows of a node that ended as its policy says, and told why."""
        assert self.ended is not None
        assert self.ended.good, (self.ended, self.lines[-30:])
        assert self.deployment is not None
        assert self.deployment.state == "failed"
        return self.deployment


def refuse(
    cases: Sequence[Case], make_site: Callable[[Path, Network], SitePaths], work: Path
) -> Mapping[str, Run]:
    """Arm all nodes with the demonstration's image, power them on and wait for the end of each."""
    demo.prepare(DEMO)
    return asyncio.run(_refuse(cases, make_site, work))


async def _refuse(
    cases: Sequence[Case], make_site: Callable[[Path, Network], SitePaths], work: Path
) -> Mapping[str, Run]:
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), BUILD / "lab")
    runs = {case.node.name: _prepared(case, work / case.node.name) for case in cases}
    room = asyncio.Semaphore(AT_ONCE)
    async with network(len(cases)) as net, serving(make_site(work / "site", net), net) as operator:
        order = Arm(nodes=tuple(runs), image=demo.IMAGE, minutes=60)
        await asyncio.to_thread(operator.arm, order)
        async with asyncio.TaskGroup() as group:
            for case, tap in zip(cases, net.taps, strict=True):
                group.create_task(_power_on(case, runs[case.node.name], speed, net, tap, room))
        for view in await asyncio.to_thread(operator.nodes):
            runs[view.name].deployment = view.deployment
    return runs


def _prepared(case: Case, folder: Path) -> Run:
    kept = files.prepare(case.node, folder)
    if case.fill:
        case.fill(kept.system.path)
    return Run(kept, _digests(kept))


async def _power_on(
    case: Case, run: Run, speed: Speed, net: Network, tap: str, room: asyncio.Semaphore
) -> None:
    unplugging: list[asyncio.Task[None]] = []

    def take(line: str) -> None:
        run.lines.append(line)
        if line.startswith("!!! FAILED"):
            guest.prove()
        if line == case.unplugged_at:
            unplugging.append(asyncio.create_task(guest.unplug(run.files.system)))

    power = run.files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=tap)
    logs = run.files.folder
    async with (
        room,
        powered_on(case.node, power, logs=logs, on_line=take, on_report=lambda _: False) as guest,
    ):
        seconds, quiet = (speed.deadline(limit, guests=AT_ONCE) for limit in (SECONDS, QUIET))
        run.ended = await guest.ended(Expected(case.end, seconds, quiet))
        await asyncio.gather(*unplugging)


def untouched(disk: Path) -> bool:
    """Whether a sparse file that was made empty has never been written to."""
    with disk.open("rb") as file:
        return next(_written(file.fileno()), None) is None


def _digests(kept: files.NodeFiles) -> Mapping[str, str]:
    """By serial, the SHA-256 of all blocks of a disk that are not zero, and of where they are."""
    return {disk.serial: _digest(disk.path) for disk in (*kept.disks.values(), *kept.decoys)}


def _digest(disk: Path) -> str:
    digest = hashlib.sha256()
    with disk.open("rb") as file:
        for start, end in _written(file.fileno()):
            for place in range(start, end, BLOCK):
                block = os.pread(file.fileno(), BLOCK, place)
                if any(block):
                    digest.update(b"%d " % place + block)
    return digest.hexdigest()


def _written(file: int) -> Iterator[tuple[int, int]]:
    """Start and end of each run of bytes that is no hole."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end
