# SPDX-License-Identifier: GPL-2.0-or-later
"""The image of one deployment, brought onto the disks in each of the ways that steps know."""

import asyncio
from pathlib import Path
from typing import assert_never

from swarmstrap.effects.disks import whole_disk
from swarmstrap.effects.disks.whole_disk import WholeDisk
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.images.update import Update
from swarmstrap.effects.images.updating import Terms
from swarmstrap.effects.images.verifying import verify_tree
from swarmstrap.effects.telling import lines_from_thread, progress_from_thread
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.effects.transfer.staged import BehindImage, Staged
from swarmstrap.errors import StepFailed
from swarmstrap.preserving import Rules
from swarmstrap.reporter import Reporter
from swarmstrap.steps.image import (
    ClearRest,
    FetchImage,
    ImageStep,
    TidyTree,
    UpdateTree,
    VerifyTree,
    WriteDiskImage,
)


class Imaging:
    def __init__(self, download: Download, source: Source, root: Path, report: Reporter) -> None:
        self._download = download
        self._source = source
        self._root = root
        self._report = report
        self._update: Update | None = None

    async def carry_out(self, step: ImageStep) -> None:
        match step:
            case FetchImage():
                await self._download.fetch(self._source, step.staging)
            case WriteDiskImage():
                await self._write_disk(step)
            case ClearRest():
                await self._download.forget()
                await asyncio.to_thread(whole_disk.clear_rest, step)
            case UpdateTree():
                await self._update_tree(step)
            case TidyTree():
                await asyncio.to_thread(self._updated().tree.tidy)
            case VerifyTree():
                await self._verify(step)
            case _:
                assert_never(step)

    @property
    def grub_differs(self) -> bool:
        """Whether an update brought other files of GRUB."""
        return self._updated().grub_differs

    async def _write_disk(self, step: WriteDiskImage) -> None:
        node = await asyncio.to_thread(udev.find, step.disk)
        staged: Staged = self._download.memory
        if step.staging == "tail":
            staged = BehindImage(self._download.memory.place, node, step.size, step.disk.size)
        told = lines_from_thread(self._report)
        disk = WholeDisk(node, self._source.manifest, step.unused, told)
        try:
            await self._download.into(disk, self._source, staged)
            if step.verify:
                await asyncio.to_thread(disk.read_back)
            await asyncio.to_thread(disk.show)
        finally:
            disk.close()
        await asyncio.to_thread(udev.settle)

    async def _update_tree(self, step: UpdateTree) -> None:
        update = Update(self._root, step, self._source.manifest, self._report.log)
        self._update = update
        await asyncio.to_thread(update.check)
        staged = self._download.staged(step.staging)
        await self._download.into(update.tree, self._source, staged)
        await asyncio.to_thread(update.tree.describe)

    async def _verify(self, step: VerifyTree) -> None:
        index = await self._download.index(self._source)
        rules = Rules.nothing() if step.preserve is None else Rules(step.preserve)
        terms = Terms(rules, step.mounts, checksum=True)
        told = progress_from_thread(self._report, self._source.manifest.unpacked)
        await asyncio.to_thread(verify_tree, self._root, index, terms, told)

    def _updated(self) -> Update:
        if self._update is None:
            raise StepFailed("nothing was updated that could be tidied or made bootable")
        return self._update
