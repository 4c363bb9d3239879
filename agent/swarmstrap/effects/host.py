# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that the story happens on: what it is, whom it asks, and how it leaves."""

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swarmstrap import __version__
from swarmstrap.cmdline import Settings
from swarmstrap.display import numbered
from swarmstrap.effects import clock, finish, network
from swarmstrap.effects import log as logs
from swarmstrap.effects.admit import admit
from swarmstrap.effects.console import Console
from swarmstrap.effects.departure import Departure
from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.hands import Decided, Deployer
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.hardware.lldp import Listener
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.telling import lines_from_thread
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.effects.transfer.staged import InMemory
from swarmstrap.effects.transfer.swarm import load
from swarmstrap.effects.trust import CA, FLOORS, SIGNERS, read_floors
from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap.failure import NotArmed, Verdict
from swarmstrap.hardware import Inventory, Neighbour
from swarmstrap.lldp import with_neighbours
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.staging import memory_beside
from swarmstrap.steps import Plan
from swarmstrap.story import Hands
from swarmstrap.wire import Job, PlanReport, Register

if TYPE_CHECKING:
    from swarmstrap.effects.http import NodeApi

STAGING = Path("/run/swarmstrap/staging")
SHARED = Path("/run/swarmstrap/shared")

# How long a node waits for a server before it goes back to its firmware to look for another one.
SERVER_SECONDS = 600.0
_JOB_SECONDS = 60.0
_PLAN_SECONDS = 20.0
_TAIL_LINES = 100


class Machine:
    """A node in the initramfs. Everything that blocks runs in a thread, so the heart goes on."""

    def __init__(
        self, settings: Settings, report: Reporter, console: Console, writers: Writers
    ) -> None:
        self._settings = settings
        self._report = report
        self._console = console
        self._writers = writers
        self._departure = Departure(report, console)
        self._address = ""
        self._switches: Listener | None = None

    async def look(self) -> Inventory:
        await asyncio.to_thread(udev.settle)
        self._switches = Listener()
        inventory = await asyncio.to_thread(udev.look, self._settings.boot_mac)
        for device in inventory.driverless:
            self._report.warn(
                f"no driver for {device}",
                hint="the installer's kernel is too old for it, or lacks its firmware",
            )
        return inventory

    async def ask(self, inventory: Inventory) -> Job:
        # aiohttp takes seconds to import on a slow machine: as long as a link takes to come up.
        importing = asyncio.create_task(
            asyncio.to_thread(importlib.import_module, "swarmstrap.effects.http")
        )
        self._address = await asyncio.to_thread(
            network.configure, self._settings, lines_from_thread(self._report)
        )
        await importing
        from swarmstrap.effects.http import NodeApi

        self._report.log(f"asking {self._settings.server}")
        api = NodeApi(self._settings.server, CA, retrying=self._retrying)
        self._departure.server = api
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        seen = with_neighbours(inventory, self._heard())
        registered = await api.register(
            Register(inventory=seen, boot_id=boot_id, version=__version__),
            patience=SERVER_SECONDS,
        )
        self._console.call(registered.node)
        self._set_clock(api.ahead)
        if not registered.token:
            raise NotArmed(
                registered.reason or "the server has nothing to do for this node",
                hint="the local disk boots next; to install, run swarmstrap deploy",
            )
        job = await api.job(registered.token, patience=_JOB_SECONDS)
        self._report.connect(api.send)
        return job

    async def trust(self, inventory: Inventory, job: Job) -> Manifest:
        floors = read_floors(FLOORS)
        manifest, _ = await asyncio.to_thread(admit, inventory, job, SIGNERS, floors)
        self._console.introduce(f"{manifest.name} {manifest.version}", job.deployment)
        if job.passes_on:
            await self._pass_on(memory_beside(inventory, manifest))
        return manifest

    async def say(self, plan: Plan) -> None:
        for name, neighbour in self._heard().items():
            self._report.log(f"{name} is at {neighbour}")
        self._console.lines(numbered(plan.lines()))
        try:
            await self._server().report_plan(
                PlanReport(digest=plan.digest, lines=plan.lines()), patience=_PLAN_SECONDS
            )
        except Unreachable as error:
            self._report.warn(f"the server did not hear the plan: {error.message}", error.hint)

    def hands(self, inventory: Inventory, job: Job, manifest: Manifest, plan: Plan) -> Hands:
        source = Source(
            manifest=manifest,
            torrent=load(job.torrent, manifest.infohash),
            site=self._settings.server,
            trackers=job.trackers,
            web_seeds=job.web_seeds,
            seeders=job.seeders,
            deal=job.deal,
            address=self._address,
        )
        root = filesystems.TARGET
        return Deployer(
            Decided(inventory, job, manifest, plan),
            source,
            root=root,
            seeding=self._server().seeding,
            download=Download(self._writers, self._report, root=root, memory=STAGING),
            departure=self._departure,
            report=self._report,
        )

    async def shell(self, why: str) -> None:
        await self._departure.shell(why)

    async def follow(self, verdict: Verdict) -> None:
        if verdict.action == "retry":
            await asyncio.sleep(verdict.delay)
            return
        self._report.attach(logs.tail(_TAIL_LINES))
        await self._departure.part()
        await asyncio.sleep(verdict.delay)
        how: finish.Leave = "poweroff" if verdict.action == "poweroff" else "reboot"
        if verdict.action == "shell":
            await self._departure.last_shell("the deployment failed")
            how = verdict.then
        await self._departure.leave(how)

    async def _pass_on(self, room: int) -> None:
        await asyncio.to_thread(importlib.import_module, "swarmstrap.effects.transfer.bootshare")
        from swarmstrap.effects.transfer.bootshare import PORT, BootShare

        share = BootShare(
            InMemory(SHARED),
            self._server().passing,
            address=self._address,
            port=PORT,
            room=room,
            tell=self._report.log,
        )
        share.start()
        self._departure.share = share

    def _set_clock(self, ahead: float) -> None:
        if clock.follow(ahead):
            self._report.put_back(ahead)
            hours, direction = abs(ahead) / 3600, "ahead" if ahead > 0 else "behind"
            self._report.warn(
                f"the clock was {hours:.1f} hours {direction}, and has the server's time now",
                hint="look at the machine's battery",
            )

    def _heard(self) -> Mapping[str, Neighbour]:
        return self._switches.heard() if self._switches else {}

    def _server(self) -> "NodeApi":
        if self._departure.server is None:
            raise RuntimeError("Machine.ask comes first")
        return self._departure.server

    def _retrying(self, error: SwarmstrapError, delay: float) -> None:
        self._report.log(f"{error.message}; trying again in {delay:.0f} s")
