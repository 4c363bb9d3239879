# SPDX-License-Identifier: GPL-2.0-or-later
"""One rehearsal: a network, a server, virtual nodes; installed over PXE, then started again."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from swarmstrap.errors import SwarmstrapError
from swarmstrap.manifest import Manifest
from swarmstrap.units import MiB
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import Image
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import files, lab_site
from swarmstrap_server.lab.guest import Guest, powered_on
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network, network
from swarmstrap_server.lab.pictures import Album
from swarmstrap_server.lab.report import NodeReport, Report
from swarmstrap_server.lab.serving import serving
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.site.reading import Site

Stage = Literal["waiting", "installing", "starting", "deployed", "failed"]

# Limits on the reference machine with one guest; `Speed.deadline` scales them to this one.
INSTALL_SECONDS = 480.0
# Compressed bytes a second, fetched, hashed and written: what a large image takes beside it.
_INSTALL_RATE = 4 * MiB
START_SECONDS = 240.0
QUIET_SECONDS = 150.0
_REFRESH_SECONDS = 1.0
_ARMED_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to rehearse, the folder `work` for disks and logs, and one for pictures, if wanted. With
    `update_to` the nodes are then updated to that image, and started once more.
    """

    real: Site
    image: Image
    nodes: tuple[VirtualNode, ...]
    lab: LabSite
    work: Path
    pictures: Path | None = None
    update_to: Image | None = None


@dataclass(slots=True)
class Progress:
    """One node on its way; `deployment` is what the server knows, `guest` the running machine.
    `installed` and `updated` are the deployments as they ended.
    """

    node: VirtualNode
    stage: Stage = "waiting"
    deployment: Deployment | None = None
    installed: Deployment | None = None
    updated: Deployment | None = None
    guest: Guest | None = None
    powered_on: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    decoy_intact: bool = False
    booted_from_disk: bool = False
    reason: str = ""

    def report(self) -> NodeReport:
        done = self.installed
        return NodeReport(
            name=self.node.name,
            firmware=self.node.firmware,
            disk=self.node.bus,
            result="deployed" if self.stage == "deployed" else "failed",
            booted_from_disk=self.booted_from_disk,
            decoy_intact=self.decoy_intact,
            from_seeder_bytes=done.from_seeder if done else 0,
            from_peers_bytes=done.from_peers if done else 0,
            update_bytes=self.updated.from_seeder + self.updated.from_peers if self.updated else 0,
            phases={name: round(seconds, 1) for name, seconds in self.phases.items()},
            reason=self.reason,
        )


Observer = Callable[[Sequence[Progress]], None]


async def rehearse(rehearsal: Rehearsal, observe: Observer) -> Report:
    """Never raises for what a node does: that is in the report. Raises SwarmstrapError when the
    lab itself cannot be had. `observe` is called about once a second.
    """
    started = time.monotonic()
    nodes = [Progress(node) for node in rehearsal.nodes]
    work = rehearsal.work.resolve()
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), work / "speed")
    async with network(len(nodes)) as net:
        paths = lab_site.make(work / "site", rehearsal.real, rehearsal.lab, net, rehearsal.nodes)
        async with serving(paths, net) as operator:
            arm = Arm(
                nodes=tuple(node.name for node in rehearsal.nodes),
                image=rehearsal.image.manifest.name,
                version=rehearsal.image.manifest.version,
                minutes=_ARMED_MINUTES,
            )
            await asyncio.to_thread(operator.arm, arm)
            lab = _Lab(
                net,
                speed,
                operator,
                work,
                rehearsal.lab,
                len(nodes),
                rehearsal.image,
                rehearsal.update_to,
            )
            album = Album(rehearsal.pictures, operator) if rehearsal.pictures else None
            watching = asyncio.create_task(_watch(operator, nodes, observe, album))
            try:
                async with asyncio.TaskGroup() as group:
                    for progress, tap in zip(nodes, net.taps, strict=True):
                        group.create_task(lab.deploy(progress, tap))
            except ExceptionGroup as group:
                raise group.exceptions[0] from group
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
    observe(nodes)
    return Report(
        image=rehearsal.image.label,
        payload_bytes=rehearsal.image.manifest.payload.size,
        seconds=round(time.monotonic() - started, 1),
        nodes=tuple(progress.report() for progress in nodes),
    )


@dataclass(frozen=True, slots=True)
class _Lab:
    network: Network
    speed: Speed
    operator: Operator
    work: Path
    site: LabSite
    guests: int
    image: Image
    update_to: Image | None

    async def deploy(self, progress: Progress, tap: str) -> None:
        """All power-ons of one node. Its end, good or bad, is written into `progress`."""
        node = progress.node
        kept = await asyncio.to_thread(files.prepare, node, self.work / node.name)
        trouble = await self._install(progress, kept, tap)
        if not trouble:
            trouble = await self._start(progress, kept, tap)
        if not trouble and self.update_to:
            trouble = await self._update(self.update_to.manifest, progress, kept, tap)
        change = await asyncio.to_thread(files.decoy_change, kept.decoy)
        progress.decoy_intact = change is None
        if change is not None:
            trouble = trouble or f"the decoy disk changed at byte {change}"
        progress.reason = trouble
        progress.stage = "failed" if trouble else "deployed"

    async def _install(self, progress: Progress, kept: files.NodeFiles, tap: str) -> str:
        """Empty when the server was told that the node is deployed; else what went wrong."""
        progress.powered_on = time.time()
        trouble = await self._become(progress, kept, tap)
        done = progress.installed = progress.deployment
        if done is not None and done.started is not None:
            progress.phases = _phases(done, progress.powered_on)
        return trouble

    async def _update(
        self, image: Manifest, progress: Progress, kept: files.NodeFiles, tap: str
    ) -> str:
        """From the network once more, and once more from the disk."""
        arm = Arm(
            nodes=(progress.node.name,),
            image=image.name,
            version=image.version,
            minutes=_ARMED_MINUTES,
            mode="update",
        )
        await asyncio.to_thread(self.operator.arm, arm)
        began = time.monotonic()
        trouble = await self._become(progress, kept, tap)
        progress.updated = progress.deployment
        progress.phases["update"] = time.monotonic() - began
        return trouble or await self._start(progress, kept, tap)

    async def _become(self, progress: Progress, kept: files.NodeFiles, tap: str) -> str:
        """What the node is armed for; empty when the server was told so, else what went wrong."""
        progress.stage = "installing"
        by_kexec = self.site.finish == "kexec"
        end: End = "reset" if self.site.finish == "reboot" else "power-off"
        large = self.image.manifest.payload.size / _INSTALL_RATE
        expected = self._expected(end, INSTALL_SECONDS + large)
        ended = await self._power_on(progress, kept, tap, expected, proven=not by_kexec)
        done = progress.deployment = await self._deployment(progress.node.name)
        if done.state != "deployed":
            return done.reason or ended.detail
        return "" if ended.good else f"installed, but then {ended.detail}"

    async def _start(self, progress: Progress, kept: files.NodeFiles, tap: str) -> str:
        """The same firmware, the disks in another order: the installed system has to answer."""
        progress.stage = "starting"
        expected = self._expected("power-off", START_SECONDS)
        progress.booted_from_disk = False
        began = time.monotonic()
        ended = await self._power_on(progress, kept, tap, expected, second=True)
        progress.phases["boot"] = time.monotonic() - began
        if not ended.good:
            return f"installed, but does not start from its disk: {ended.detail}"
        return ""

    def _expected(self, end: End, seconds: float) -> Expected:
        return Expected(
            end,
            self.speed.deadline(seconds, guests=self.guests),
            self.speed.deadline(QUIET_SECONDS, guests=self.guests),
        )

    async def _power_on(
        self,
        progress: Progress,
        kept: files.NodeFiles,
        tap: str,
        expected: Expected,
        *,
        second: bool = False,
        proven: bool = False,
    ) -> Ended:
        power = kept.power_on(
            self.speed.accelerator, netns=self.network.name, tap=tap, decoy_first=not second
        )

        def answered(line: str) -> bool:
            good = _is_proof(line, self.site.nonce, kept.system.serial, progress.node)
            progress.booted_from_disk = progress.booted_from_disk or good
            return good

        async with powered_on(
            progress.node, power, logs=kept.folder, on_line=lambda _: None, on_report=answered
        ) as guest:
            progress.guest = guest
            if proven:
                guest.prove()  # what the server was told is the proof
            try:
                return await guest.ended(expected)
            finally:
                progress.guest = None

    async def _deployment(self, name: str) -> Deployment:
        views = await asyncio.to_thread(self.operator.nodes)
        found = next((view.deployment for view in views if view.name == name), None)
        if found is None:
            raise SwarmstrapError(f"the lab's server has forgotten node {name}")
        return found


async def _watch(
    operator: Operator, nodes: Sequence[Progress], observe: Observer, album: Album | None
) -> None:
    while True:
        with contextlib.suppress(SwarmstrapError):
            known = {view.name: view.deployment for view in await asyncio.to_thread(operator.nodes)}
            for progress in nodes:
                progress.deployment = known.get(progress.node.name) or progress.deployment
            if album:
                await album.consider([(progress.guest, progress.deployment) for progress in nodes])
        observe(nodes)
        await asyncio.sleep(_REFRESH_SECONDS)


def _phases(done: Deployment, powered_on: float) -> dict[str, float]:
    """What the server timed, and before it the firmware: power-on to the agent's first word."""
    own = sum(done.phases.get(name, 0.0) for name in ("look", "ask"))
    firmware = (done.started or powered_on) - powered_on - own
    return {"firmware": max(0.0, firmware), **done.phases}


def _is_proof(line: str, nonce: str, serial: str, node: VirtualNode) -> bool:
    """Whether the installed system says so itself: nonce, disk, firmware, and a running sshd."""
    try:
        said = json.loads(line)
    except ValueError:
        return False
    proof: object = {
        "nonce": nonce,
        "hostname": node.name,
        "serial": serial,
        "firmware": node.firmware,
        "sshd": "active",
    }
    return bool(said == proof)
