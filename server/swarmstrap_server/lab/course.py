# SPDX-License-Identifier: GPL-2.0-or-later
"""All power-ons of one virtual node: installed over PXE, then started from its own disk."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from swarmstrap.display import PREFIX
from swarmstrap.errors import SwarmstrapError
from swarmstrap.manifest import Manifest
from swarmstrap.units import MiB
from swarmstrap.wire import Mode
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import Image
from swarmstrap_server.lab import files
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.keeping import Kept
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.network import Network
from swarmstrap_server.lab.progress import Progress
from swarmstrap_server.lab.speed import Speed
from swarmstrap_server.lab.trial import Again, Trial, is_proof, second
from swarmstrap_server.lab.verdict import End, Ended, Expected, may_be_chance
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.secrets import read_secret

# Limits on the reference machine with one guest, four times what that one takes; `Speed.deadline`
# scales them to this one. A node that hangs is found by its silence.
INSTALL_SECONDS = 600.0
# Compressed bytes a second, fetched, hashed and written: what a large image takes beside it.
_INSTALL_RATE = 4 * MiB
# An initramfs that is made anew with all drivers takes half a minute of one quick processor, and
# an emulated one twenty times as long: 500 s with a second guest beside it.
_INITRAMFS_SECONDS = 1200.0
START_SECONDS = 360.0
QUIET_SECONDS = 150.0
_ARMED_MINUTES = 24 * 60
# Lines of the console that a report quotes of a node that failed.
_LAST_LINES = 20
# What cryptsetup asks on the console, from Debian's initramfs and from systemd's.
_PASSPHRASE_PROMPTS = ("Please unlock disk", "Please enter passphrase for disk")

Order = Callable[[Arm], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What all nodes of a rehearsal share. `order` has a node armed, and returns when it is to be
    switched on. `guests` run at once; files lie below `paths.root`.
    """

    network: Network
    speed: Speed
    operator: Operator
    order: Order
    paths: SitePaths
    site: LabSite
    guests: int
    image: Image
    update_to: Image | None

    async def run(self, progress: Progress, trial: Trial, tap: str) -> None:
        """All power-ons of one node. Its end, good or bad, is written into `progress`."""
        node = progress.node
        folder = self.paths.root.parent / node.name
        kept = await asyncio.to_thread(files.prepare, node, folder)
        trouble = await _Node(self, progress, trial, kept, tap).through()
        progress.decoy_intact = True
        for decoy in kept.decoys:
            change = await asyncio.to_thread(files.decoy_change, decoy)
            if change is not None:
                progress.decoy_intact = False
                trouble = trouble or f"the decoy disk {decoy.serial} changed at byte {change}"
        progress.reason = trouble
        progress.stage = "failed" if trouble else "deployed"


@dataclass(frozen=True, slots=True)
class _Node:
    """One node; methods that return text return what went wrong, and nothing when all is well."""

    course: Course
    progress: Progress
    trial: Trial
    kept: files.NodeFiles
    tap: str

    async def through(self) -> str:
        trouble = await self._install() or await self._start("boot")
        if not trouble and self.trial.removed:
            trouble = await self._start("degraded", removed=self.trial.removed)
        if not trouble and self.trial.tpm_unlocks:
            trouble = await self._with_another_tpm(self.trial.tpm_unlocks)
        if not trouble and self.course.update_to:
            trouble = await self._update(self.course.update_to.manifest)
        if not trouble and self.trial.again:
            trouble = await self._again(self.trial.again)
        return trouble

    async def _install(self) -> str:
        await self._arm(self.course.image.manifest, "deploy")
        trouble = await self._become()
        done = self.progress.installed = self.progress.deployment
        if done is not None and done.started is not None:
            self.progress.phases = _phases(done, self.progress.powered_on)
        return trouble

    async def _update(self, image: Manifest) -> str:
        """From the network once more, and once more from the disk."""
        await self._arm(image, "update")
        began = time.monotonic()
        trouble = await self._become()
        self.progress.updated = self.progress.deployment
        self.progress.phases["update"] = time.monotonic() - began
        return trouble or await self._start("boot")

    async def _again(self, again: Again) -> str:
        """Deployed once more, beside what stays."""
        kept = await asyncio.to_thread(Kept.filled, self.kept.system.path, again.keeps)
        await self._arm(self.course.image.manifest, "deploy", second(self.progress.node.name))
        began = time.monotonic()
        trouble = await self._become()
        self.progress.phases["again"] = time.monotonic() - began
        trouble = trouble or await self._start("boot")
        if not trouble and not await asyncio.to_thread(kept.is_as_it_was):
            trouble = f"deployed again, but partition {again.keeps} is not as it was"
        return trouble

    async def _with_another_tpm(self, volume: str) -> str:
        """As if the disks had been carried to another machine."""
        await asyncio.to_thread(files.new_tpm, self.kept.folder)
        trouble = await self._start("other-tpm", unlock=volume)
        if not trouble and not self.progress.typed:
            trouble = f"another TPM2 opens {volume}, too"
        return trouble

    async def _become(self) -> str:
        """What the node is armed for: the server has to be told that it is deployed."""
        self.progress.stage = "installing"
        by_kexec = self.course.site.finish == "kexec"
        end: End = "reset" if self.course.site.finish == "reboot" else "power-off"
        large = self.course.image.manifest.payload.size / _INSTALL_RATE
        anew = _INITRAMFS_SECONDS if self.trial.lacking else 0.0
        expected = self._expected(end, INSTALL_SECONDS + large + anew)
        ended = await self._install_once(expected, told=not by_kexec)
        while ended.reason == "unplugged" or self._power_cycles(ended):
            # It begins anew as soon as it has power.
            ended = await self._install_once(expected, told=not by_kexec)
        done = self.progress.deployment = await self._deployment()
        if done.state != "deployed":
            return done.reason or ended.detail
        return "" if ended.good else f"installed, but then {ended.detail}"

    async def _install_once(self, expected: Expected, *, told: bool) -> Ended:
        self.progress.powered_on = time.time()
        return await self._power_on(expected, told=told)

    def _power_cycles(self, ended: Ended) -> bool:
        progress = self.progress
        again = may_be_chance(ended, progress.spoke, progress.power_cycles)
        progress.power_cycles += again
        return again

    async def _start(self, phase: str, removed: str = "", unlock: str = "") -> str:
        """The same firmware, the disks in another order: the installed system has to answer."""
        self.progress.stage = "starting"
        self.progress.booted_from_disk = False
        began = time.monotonic()
        expected = self._expected("power-off", START_SECONDS)
        ended = await self._power_on(
            expected, decoy_first=False, removed=removed, unlock=unlock or self.trial.unlock
        )
        self.progress.phases[phase] = time.monotonic() - began
        if not ended.good:
            without = f" without its disk {removed}" if removed else ""
            return f"installed, but does not start from its disk{without}: {ended.detail}"
        self.progress.boots += 1
        return ""

    async def _power_on(
        self,
        expected: Expected,
        *,
        decoy_first: bool = True,
        removed: str = "",
        unlock: str = "",
        told: bool = False,
    ) -> Ended:
        """`told`: what the server was told is the proof."""
        course, progress = self.course, self.progress
        power = self.kept.power_on(
            course.speed.accelerator,
            netns=course.network.name,
            tap=self.tap,
            decoy_first=decoy_first,
            removed=removed,
        )
        disks = self.trial.disks(self.kept, removed)
        lines: deque[str] = deque(maxlen=_LAST_LINES)
        progress.spoke = False

        def take(line: str) -> None:
            lines.append(line)
            progress.spoke = progress.spoke or line.startswith(PREFIX)

        def answered(line: str) -> bool:
            good = is_proof(line, course.site.nonce, disks, progress.node, self.trial)
            progress.booted_from_disk = progress.booted_from_disk or good
            return good

        async with powered_on(
            progress.node,
            power,
            logs=self.kept.folder,
            on_line=take,
            on_report=answered,
            answers=self._answers(unlock),
        ) as guest:
            progress.guest = guest
            if told:
                guest.prove()
            try:
                return await guest.ended(expected)
            finally:
                progress.guest, progress.typed = None, guest.keyboard.typed
                progress.console = lines

    def _answers(self, unlock: str) -> Mapping[str, str]:
        """The secret of a node is made when it is installed: before that nobody asks for it."""
        if not unlock or self.progress.installed is None:
            return {}
        secret = read_secret(self.course.paths, self.progress.node.name, unlock)
        return dict.fromkeys(_PASSPHRASE_PROMPTS, secret)

    def _expected(self, end: End, seconds: float) -> Expected:
        speed, guests = self.course.speed, self.course.guests
        limit = speed.deadline(seconds, guests=guests)
        return Expected(end, limit, speed.deadline(QUIET_SECONDS, guests=guests))

    async def _arm(self, image: Manifest, mode: Mode, layout: str = "") -> None:
        arm = Arm(
            nodes=(self.progress.node.name,),
            image=image.name,
            version=image.version,
            layout=layout,
            minutes=_ARMED_MINUTES,
            mode=mode,
        )
        await self.course.order(arm)

    async def _deployment(self) -> Deployment:
        name = self.progress.node.name
        views = await asyncio.to_thread(self.course.operator.nodes)
        found = next((view.deployment for view in views if view.name == name), None)
        if found is None:
            raise SwarmstrapError(f"the lab's server has forgotten node {name}")
        return found


def _phases(done: Deployment, powered_on: float) -> dict[str, float]:
    """What the server timed, and before it the firmware: power-on to the agent's first word."""
    own = sum(done.phases.get(name, 0.0) for name in ("look", "ask"))
    firmware = (done.started or powered_on) - powered_on - own
    return {"firmware": max(0.0, firmware), **done.phases}
