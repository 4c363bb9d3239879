# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual nodes whose deployment has to fail: powered on, heard to their end, and looked at."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, kw_only=True)
class Case:
    """A node, how it is to end by its own policy, and the line after which its system disk is
    unplugged.
    """

    node: VirtualNode
    end: End = "power-off"
    unplugged_at: str = ""


@dataclass
class Run:
    """One node's power-on: its files, its console, how it ended, and what the server made of it."""

    files: files.NodeFiles
    lines: list[str] = field(default_factory=list)
    ended: Ended | None = None
    deployment: Deployment | None = None

    def box(self) -> str:
        """What the console says large, on one line."""
        return " ".join(" ".join(line[4:] for line in self.lines if line[:4] == "!!! ").split())

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
    runs = {case.node.name: Run(files.prepare(case.node, work / case.node.name)) for case in cases}
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
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:
            return True
        return False
