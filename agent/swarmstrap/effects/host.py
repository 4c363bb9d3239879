# SPDX-License-Identifier: GPL-2.0-or-later
"""The hands of the story: each verb of it, carried out on this machine by one module."""

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swarmstrap import __version__
from swarmstrap.cmdline import Settings
from swarmstrap.display import numbered
from swarmstrap.effects import (
    bootloader,
    chroot,
    clones,
    disk,
    filesystems,
    finish,
    grow,
    hooks,
    network,
    records,
    udev,
    whole_disk,
)
from swarmstrap.effects import log as logs
from swarmstrap.effects.admit import admit
from swarmstrap.effects.console import Console, active
from swarmstrap.effects.download import Download, Source
from swarmstrap.effects.lldp import Listener
from swarmstrap.effects.staged import BehindImage, Staged
from swarmstrap.effects.trust import CA, FLOORS, SIGNERS, read_floors
from swarmstrap.effects.unpack import Writers
from swarmstrap.effects.update import Update
from swarmstrap.effects.updating import Terms
from swarmstrap.effects.verifying import verify_tree
from swarmstrap.effects.whole_disk import WholeDisk
from swarmstrap.errors import StepFailed, SwarmstrapError, Unreachable
from swarmstrap.failure import SHELL_SECONDS, NotArmed, Verdict
from swarmstrap.hardware import Inventory, Neighbour
from swarmstrap.lldp import with_neighbours
from swarmstrap.manifest import Manifest
from swarmstrap.preserving import Rules
from swarmstrap.reporter import Reporter
from swarmstrap.steps import (
    CheckClones,
    ClearRest,
    FetchImage,
    FinishBoot,
    GrowDisk,
    InstallGrub,
    MakeFilesystem,
    MakeHostKeys,
    MountVolume,
    Plan,
    ProveTable,
    RefreshGrub,
    RemoveFiles,
    RunHook,
    Seed,
    Settle,
    TidyTree,
    UpdateTree,
    VerifyTree,
    WipeDisk,
    WriteDiskImage,
    WriteFile,
    WritePartitionTable,
)
from swarmstrap.wire import Job, PlanReport, Register

if TYPE_CHECKING:
    from swarmstrap.effects.http import NodeApi

log = logging.getLogger(__name__)

STAGING = Path("/run/swarmstrap/staging")
INSTALL_LOG = "/var/log/swarmstrap-install.log"

# How long a node waits for a server before it goes back to its firmware to look for another one.
SERVER_SECONDS = 600.0
_JOB_SECONDS = 60.0
_PLAN_SECONDS = 20.0
_FLUSH_SECONDS = 15.0
_TAIL_LINES = 40
_PROGRESS_STEPS = 50


class Machine:
    """A node in the initramfs. Everything that blocks runs in a thread, so the heart goes on."""

    def __init__(
        self, settings: Settings, report: Reporter, console: Console, writers: Writers
    ) -> None:
        self._settings = settings
        self._report = report
        self._console = console
        self._root = filesystems.TARGET
        self._download = Download(writers, report, root=self._root, memory=STAGING)
        self._address = ""
        self._api: NodeApi | None = None
        self._kexec = False
        self._switches: Listener | None = None
        self._inventory: Inventory
        self._job: Job
        self._manifest: Manifest
        self._source: Source
        self._plan: Plan
        self._update: Update

    async def look(self) -> Inventory:
        await asyncio.to_thread(udev.settle)
        self._switches = Listener()
        self._inventory = await asyncio.to_thread(udev.look, self._settings.boot_mac)
        for device in self._inventory.driverless:
            self._report.warn(
                f"no driver for {device}",
                hint="the installer's kernel is too old for it, or lacks its firmware",
            )
        return self._inventory

    async def ask(self, inventory: Inventory) -> Job:
        # aiohttp takes seconds to import on a slow machine: as long as a link takes to come up.
        importing = asyncio.create_task(
            asyncio.to_thread(importlib.import_module, "swarmstrap.effects.http")
        )
        self._address = await asyncio.to_thread(
            network.configure, self._settings, self._tell_from_thread()
        )
        await importing
        from swarmstrap.effects.http import NodeApi

        self._report.log(f"asking {self._settings.server}")
        api = NodeApi(self._settings.server, CA, retrying=self._retrying)
        self._api = api
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        seen = with_neighbours(inventory, self._heard())
        registered = await api.register(
            Register(inventory=seen, boot_id=boot_id, version=__version__),
            patience=SERVER_SECONDS,
        )
        self._console.call(registered.node)
        if not registered.token:
            raise NotArmed(
                registered.reason or "the server has nothing to do for this node",
                hint="the local disk boots next; to install, run swarmstrap deploy",
            )
        self._job = await api.job(registered.token, patience=_JOB_SECONDS)
        self._report.connect(api.send)
        return self._job

    async def trust(self, inventory: Inventory, job: Job) -> Manifest:
        floors = read_floors(FLOORS)
        manifest, torrent = await asyncio.to_thread(admit, inventory, job, SIGNERS, floors)
        self._manifest = manifest
        self._source = Source(
            manifest=manifest,
            torrent=torrent,
            site=self._settings.server,
            trackers=job.trackers,
            web_seeds=job.web_seeds,
            address=self._address,
        )
        image = f"{manifest.name} {manifest.version}"
        self._console.introduce(image, job.deployment)
        return manifest

    async def say(self, plan: Plan) -> None:
        self._plan = plan
        for name, neighbour in self._heard().items():
            self._report.log(f"{name} is at {neighbour}")
        self._console.lines(numbered(plan.lines()))
        try:
            await self._server().report_plan(
                PlanReport(digest=plan.digest, lines=plan.lines()), patience=_PLAN_SECONDS
            )
        except Unreachable as error:
            self._report.warn(f"the server did not hear the plan: {error.message}", error.hint)

    async def wipe(self, step: WipeDisk) -> None:
        await asyncio.to_thread(disk.wipe, step)

    async def write_table(self, step: WritePartitionTable) -> None:
        await asyncio.to_thread(disk.write_table, step)

    async def make_filesystem(self, step: MakeFilesystem) -> None:
        await asyncio.to_thread(filesystems.make, step)

    async def mount(self, step: MountVolume) -> None:
        await asyncio.to_thread(filesystems.mount, step, self._root)

    async def fetch(self, step: FetchImage) -> None:
        await self._download.fetch(self._source, step.staging)

    async def write_disk_image(self, step: WriteDiskImage) -> None:
        node = await asyncio.to_thread(udev.find, step.disk)
        staged: Staged = self._download.memory
        if step.staging == "tail":
            staged = BehindImage(STAGING, node, step.size, step.disk.size)
        disk = WholeDisk(node, self._manifest, step.unused, self._tell_from_thread())
        try:
            await self._download.into(disk, self._source, staged)
            if step.verify:
                await asyncio.to_thread(disk.read_back)
            await asyncio.to_thread(disk.show)
        finally:
            disk.close()
        await asyncio.to_thread(udev.settle)

    async def clear_rest(self, step: ClearRest) -> None:
        await self._download.forget()
        await asyncio.to_thread(whole_disk.clear_rest, step)

    async def grow_disk(self, step: GrowDisk) -> None:
        for warning in await asyncio.to_thread(grow.grow, step):
            self._report.warn(warning)

    async def check_clones(self, step: CheckClones) -> None:
        for warning in await asyncio.to_thread(clones.shared_with_others, step):
            self._report.warn(
                warning, hint="the system may start from the wrong disk: change one of them"
            )

    async def prove_table(self, step: ProveTable) -> None:
        await asyncio.to_thread(disk.prove_table, step)

    async def update_tree(self, step: UpdateTree) -> None:
        self._update = Update(self._root, step, self._manifest, self._report.log)
        await asyncio.to_thread(self._update.check)
        staged = self._download.staged(step.staging)
        await self._download.into(self._update.tree, self._source, staged)
        await asyncio.to_thread(self._update.tree.describe)

    async def tidy_tree(self, step: TidyTree) -> None:
        await asyncio.to_thread(self._update.tree.tidy)

    async def verify_tree(self, step: VerifyTree) -> None:
        index = await self._download.index(self._source)
        rules = Rules.nothing() if step.preserve is None else Rules(step.preserve)
        terms = Terms(rules, step.mounts, checksum=True)
        told = self._progress_from_thread(self._manifest.unpacked)
        await asyncio.to_thread(verify_tree, self._root, index, terms, told)

    async def write_file(self, step: WriteFile) -> None:
        await asyncio.to_thread(chroot.write_file, step, self._root)

    async def remove_files(self, step: RemoveFiles) -> None:
        await asyncio.to_thread(chroot.remove_files, step, self._root)

    async def make_host_keys(self, step: MakeHostKeys) -> None:
        await asyncio.to_thread(bootloader.make_host_keys, self._root)

    async def install_grub(self, step: InstallGrub) -> None:
        for warning in await asyncio.to_thread(bootloader.install, step, self._root):
            self._report.warn(warning)

    async def refresh_grub(self, step: RefreshGrub) -> None:
        if self._update.grub_differs:
            await self.install_grub(step.install)
        await asyncio.to_thread(records.end, self._root)

    async def run_hook(self, step: RunHook) -> None:
        hook = self._job.hooks[step.index]
        environment = hooks.environment(
            hook, self._root, self._inventory, self._job, self._manifest, self._plan
        )
        await asyncio.to_thread(
            hooks.run_hook, hook, self._root, environment, self._tell_from_thread()
        )

    async def settle(self, step: Settle) -> None:
        await self._prepare_kexec()
        keep = WriteFile(INSTALL_LOG, logs.read(), 0o640)
        await asyncio.to_thread(chroot.write_file, keep, self._root)
        await self._download.forget()
        await asyncio.to_thread(filesystems.settle, self._root)

    async def seed(self, step: Seed) -> None:
        await self._download.seed(step.seconds, self._server().seeding)

    async def finish(self, step: FinishBoot) -> None:
        await self._part_with_server()
        if step.how == "shell":
            await self._last_shell("the deployment is done")
        how: finish.Leave = "poweroff" if step.how == "poweroff" else "reboot"
        await asyncio.to_thread(finish.leave, "kexec" if self._kexec else how)

    async def shell(self, why: str) -> None:
        self._console.lines([f"shell: {why}; leave it with exit"])
        with self._console.silent():
            await asyncio.to_thread(finish.shell, active(), SHELL_SECONDS)

    async def clean_up(self) -> None:
        for undo in (self._download.stop, self._release):
            try:
                await undo()
            except (SwarmstrapError, OSError):
                log.exception("cleaning up after a failure")

    async def follow(self, verdict: Verdict) -> None:
        if verdict.action == "retry":
            await asyncio.sleep(verdict.delay)
            return
        self._report.attach(logs.tail(_TAIL_LINES))
        await self._part_with_server()
        await asyncio.sleep(verdict.delay)
        how: finish.Leave = "poweroff" if verdict.action == "poweroff" else "reboot"
        if verdict.action == "shell":
            await self._last_shell("the deployment failed")
            how = verdict.then
        await asyncio.to_thread(finish.leave, how)

    async def _last_shell(self, why: str) -> None:
        try:
            await self.shell(why)
        except StepFailed as error:
            self._console.lines([str(error)])

    async def _prepare_kexec(self) -> None:
        last = self._plan.steps[-1]
        if isinstance(last, FinishBoot) and last.how == "kexec":
            try:
                await asyncio.to_thread(finish.load_kernel, last, self._root)
                self._kexec = True
            except StepFailed as error:
                self._report.warn(f"no kexec, rebooting instead: {error.message}", error.hint)

    async def _release(self) -> None:
        await asyncio.to_thread(filesystems.release, self._root)

    async def _part_with_server(self) -> None:
        await self._report.flush(_FLUSH_SECONDS)
        await self._report.close()
        if self._api is not None:
            await self._api.close()

    def _heard(self) -> Mapping[str, Neighbour]:
        return self._switches.heard() if self._switches else {}

    def _server(self) -> "NodeApi":
        if self._api is None:
            raise RuntimeError("Machine.ask comes first")
        return self._api

    def _retrying(self, error: SwarmstrapError, delay: float) -> None:
        self._report.log(f"{error.message}; trying again in {delay:.0f} s")

    def _progress_from_thread(self, total: int) -> Callable[[int], None]:
        loop = asyncio.get_running_loop()
        done = 0

        def progress(more: int) -> None:
            nonlocal done
            before, done = done, done + more
            if before * _PROGRESS_STEPS // total != done * _PROGRESS_STEPS // total:
                loop.call_soon_threadsafe(self._report.progress, done / total)

        return progress

    def _tell_from_thread(self) -> Callable[[str], None]:
        loop = asyncio.get_running_loop()

        def tell(line: str) -> None:
            loop.call_soon_threadsafe(self._report.log, line)

        return tell
