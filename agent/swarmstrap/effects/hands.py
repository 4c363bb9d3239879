# SPDX-License-Identifier: GPL-2.0-or-later
"""The hands of one deployment: each step of it, carried out on this machine by one module.

Everything that blocks runs in a thread, so the heart goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from swarmstrap.effects import finish
from swarmstrap.effects import log as logs
from swarmstrap.effects.departure import Departure
from swarmstrap.effects.disks import clones, disk, filesystems, grow, stack
from swarmstrap.effects.images.imaging import Imaging
from swarmstrap.effects.system import (
    bootloader,
    chroot,
    efi,
    hooks,
    initramfs,
    overlays,
    records,
    sealing,
    unheard,
)
from swarmstrap.effects.telling import lines_from_thread
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.errors import StepFailed, SwarmstrapError
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.steps import Plan
from swarmstrap.steps.image import ImageStep
from swarmstrap.steps.leaving import FinishBoot, LeavingStep, Seed, Settle
from swarmstrap.steps.storage import (
    CheckClones,
    GrowDisk,
    MakeFilesystem,
    MakeSubvolumes,
    MountVolume,
    ProveTable,
    ReleaseDisks,
    StorageStep,
    WipeDisk,
    WritePartitionTable,
)
from swarmstrap.steps.system import (
    AddBootEntries,
    BootStep,
    EndUpdate,
    FillEsps,
    InstallGrub,
    LayOverlay,
    MakeHostKeys,
    ReadyInitramfs,
    RefreshGrub,
    RemoveFiles,
    RunHook,
    SealKey,
    SystemStep,
    WriteFile,
)
from swarmstrap.wire import UNHEARD, Job, Release, Seeding

log = logging.getLogger(__name__)

INSTALL_LOG = "/var/log/swarmstrap-install.log"


@dataclass(frozen=True, slots=True)
class Decided:
    """What one deployment is about, all of it known before its first step."""

    inventory: Inventory
    job: Job
    manifest: Manifest
    plan: Plan


class Deployer:
    """A node in the initramfs, with the new system mounted at `root`; `seeding` asks the server
    whether its peers still need it.
    """

    def __init__(
        self,
        decided: Decided,
        source: Source,
        *,
        root: Path,
        seeding: Callable[[Seeding], Awaitable[Release]],
        download: Download,
        departure: Departure,
        report: Reporter,
    ) -> None:
        self._decided = decided
        self._root = root
        self._seeding = seeding
        self._download = download
        self._imaging = Imaging(download, source, root, report)
        self._departure = departure
        self._report = report
        self._kexec = False

    async def storage(self, step: StorageStep) -> None:
        match step:
            case WipeDisk():
                await asyncio.to_thread(disk.wipe, step)
            case WritePartitionTable():
                await asyncio.to_thread(disk.write_table, step)
            case MakeFilesystem():
                await asyncio.to_thread(filesystems.make, step)
            case MountVolume():
                await asyncio.to_thread(filesystems.mount, step, self._root)
            case ProveTable():
                await asyncio.to_thread(disk.prove_table, step)
            case GrowDisk():
                for warning in await asyncio.to_thread(grow.grow, step):
                    self._report.warn(warning)
            case CheckClones():
                for warning in await asyncio.to_thread(clones.shared_with_others, step):
                    self._report.warn(
                        warning, hint="the system may start from the wrong disk: change one of them"
                    )
            case MakeSubvolumes():
                await asyncio.to_thread(filesystems.make_subvolumes, step)
            case _:
                await asyncio.to_thread(stack.carry_out, step, self._decided.job.secrets)

    async def image(self, step: ImageStep) -> None:
        await self._imaging.carry_out(step)

    async def system(self, step: SystemStep) -> None:
        match step:
            case WriteFile():
                await asyncio.to_thread(chroot.write_file, step, self._root)
            case RemoveFiles():
                await asyncio.to_thread(chroot.remove_files, step, self._root)
            case SealKey():
                secret = stack.secret(step.volume, self._decided.job.secrets)
                await asyncio.to_thread(sealing.seal, step, secret, self._root)
            case MakeHostKeys():
                await asyncio.to_thread(bootloader.make_host_keys, self._root)
            case ReadyInitramfs() | InstallGrub() | FillEsps() | AddBootEntries():
                await self._make_bootable(step)
            case RefreshGrub():
                if self._imaging.grub_differs:
                    await self._make_bootable(step.install)
            case EndUpdate():
                await asyncio.to_thread(records.end, self._root)
            case LayOverlay():
                await asyncio.to_thread(overlays.lay, step, self._root)
            case RunHook():
                await self._run_hook(step)
            case _:
                assert_never(step)

    async def leave(self, step: LeavingStep) -> None:
        match step:
            case Settle():
                await self._settle()
            case Seed():
                await self._download.seed(step.seconds, self._seeding)
            case FinishBoot():
                await self._departure.part()
                if self._report.unheard and Settle() in self._decided.plan.steps:
                    await self._keep_the_end()
                if step.how == "shell":
                    await self._departure.last_shell("the deployment is done")
                how: finish.Leave = "poweroff" if step.how == "poweroff" else "reboot"
                await self._departure.leave("kexec" if self._kexec else how)
            case _:
                assert_never(step)

    async def clean_up(self) -> None:
        for undo in (self._download.stop, self._release):
            try:
                await undo()
            except (SwarmstrapError, OSError):
                log.exception("cleaning up after a failure")

    async def _make_bootable(self, step: BootStep) -> None:
        match step:
            case ReadyInitramfs():
                self._report.log(await asyncio.to_thread(initramfs.ready, step, self._root))
            case InstallGrub():
                await asyncio.to_thread(bootloader.install_grub, step, self._root)
            case FillEsps():
                await asyncio.to_thread(bootloader.fill_esps, step, self._root)
            case AddBootEntries():
                for warning in await asyncio.to_thread(efi.add_entries, step):
                    self._report.warn(warning)
            case _:
                assert_never(step)

    async def _run_hook(self, step: RunHook) -> None:
        decided = self._decided
        hook = decided.job.hooks[step.index]
        environment = hooks.environment(
            hook, self._root, decided.inventory, decided.job, decided.manifest, decided.plan
        )
        told = lines_from_thread(self._report)
        await asyncio.to_thread(hooks.run_hook, hook, self._root, environment, told)

    async def _settle(self) -> None:
        await self._prepare_kexec()
        keep = WriteFile(INSTALL_LOG, logs.read(), 0o640)
        await asyncio.to_thread(chroot.write_file, keep, self._root)
        await self._keep_unheard()
        await self._download.forget()
        await self._put_down()

    async def _keep_unheard(self) -> None:
        if events := self._report.unheard:
            await asyncio.to_thread(unheard.keep, events, self._decided.job, self._root)

    async def _keep_the_end(self) -> None:
        """The new system is mounted once more for it. It is complete, and starts in any case."""
        job = self._decided.job
        self._report.warn(
            f"what the server has not heard is in {UNHEARD} of the new system",
            hint=f"once the server is back: swarmstrap events add {job.node} FILE",
        )
        try:
            await asyncio.to_thread(
                unheard.mount_again, self._decided.plan, job.secrets, self._root
            )
            await self._keep_unheard()
            await self._put_down()
        except (SwarmstrapError, OSError) as error:
            self._report.warn(f"there is only what was unheard when the system was done: {error}")
            await self.clean_up()

    async def _put_down(self) -> None:
        """Everything reaches the disks, and they are left alone."""
        await asyncio.to_thread(filesystems.settle, self._root)
        try:
            await self._stop_stack()
        except StepFailed as error:
            # The kernel stops at the reboot what is still running, and marks arrays clean.
            self._report.warn(error.message, error.hint)

    async def _stop_stack(self) -> None:
        """Arrays, groups and LUKS volumes of the plan, once nothing is mounted."""
        for step in self._decided.plan.steps:
            if isinstance(step, ReleaseDisks):
                await asyncio.to_thread(stack.carry_out, step, {})

    async def _prepare_kexec(self) -> None:
        last = self._decided.plan.steps[-1]
        if isinstance(last, FinishBoot) and last.how == "kexec":
            try:
                await asyncio.to_thread(finish.load_kernel, last, self._root)
                self._kexec = True
            except StepFailed as error:
                self._report.warn(f"no kexec, rebooting instead: {error.message}", error.hint)

    async def _release(self) -> None:
        await asyncio.to_thread(filesystems.release, self._root)
        await self._stop_stack()
