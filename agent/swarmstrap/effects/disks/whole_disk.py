# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that becomes a disk image: claimed, cleared, written, read back."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from swarmstrap.disk_image import check_disk, last_frames, room
from swarmstrap.effects.disks.claim import claimed, read_table_again
from swarmstrap.effects.disks.device import Device
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.images import writer
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.errors import StepFailed
from swarmstrap.extents import total
from swarmstrap.index import Index, Segment, digest
from swarmstrap.layout import Unused
from swarmstrap.manifest import Manifest
from swarmstrap.steps.image import ClearRest
from swarmstrap.units import human


class WholeDisk:
    """A destination of `fetch`, from `begin` on to `close` nobody else's.

    What makes it bootable is written last, when all else is on the disk.
    """

    everything = True

    def __init__(
        self, node: str, manifest: Manifest, unused: Unused, tell: Callable[[str], None]
    ) -> None:
        if manifest.disk is None:
            raise StepFailed(f"image {manifest.name} {manifest.version} is no disk's")
        self._node = node
        self._facts = manifest.disk
        self._unused = unused
        self._tell = tell
        self._claim = contextlib.ExitStack()
        self._file = -1
        self._index: Index

    @property
    def place(self) -> Path:
        return Path(self._node)

    async def begin(self, writers: Writers, payload: Path, index: Index) -> None:
        check_disk(index, self._facts)
        self._index = index
        self._file = await asyncio.to_thread(self._claim.enter_context, claimed(self._node))
        await asyncio.to_thread(self._clear)
        await writers.open(writer.Disk(self._node), payload, index)

    def wanted(self, index: Index) -> Collection[int]:
        return range(len(index.frames))

    def last(self, index: Index) -> Collection[int]:
        return last_frames(index, self._facts)

    def read_back(self) -> None:
        """Raises StepFailed for the first data that the disk does not give back. Blocking."""
        device = Device(self._node, writing=False)
        with contextlib.closing(device):
            for frame in self._index.frames:
                for member in frame.members:
                    if digest(_parts(device, member.segments)) != member.digest:
                        raise StepFailed(
                            f"{self._node} does not give back what was written from byte "
                            f"{member.segments[0].file_offset} on",
                            hint="see the kernel log, replace the disk",
                        )

    def show(self) -> None:
        """The kernel sees what is there now. Blocking."""
        read_table_again(self._file, self._node)

    def close(self) -> None:
        """The disk is anybody's. Safe to repeat."""
        self._claim.close()

    def _clear(self) -> None:
        """Before all data: a page of the disk may be half of them."""
        empty = room(self._index, self._facts)
        with contextlib.closing(Device(self._node)) as device:
            for start, size in empty.zero:
                device.clear(start, size, "zero")
            if self._unused != "keep":
                for start, size in empty.unused:
                    device.clear(start, size, self._unused)
        verb = {"discard": "discarded", "zero": "filled with zeros", "keep": "left as they were"}
        self._tell(
            f"{human(total(empty.zero))} of {self._node} are zeros now, "
            f"{human(total(empty.unused))} that nothing uses were {verb[self._unused]}"
        )


def clear_rest(step: ClearRest) -> None:
    """Blocking."""
    node = udev.find(step.disk)
    with claimed(node), contextlib.closing(Device(node)) as device:
        device.clear(step.start, step.disk.size - step.start, step.how)
        device.sync()


def _parts(device: Device, segments: tuple[Segment, ...]) -> Iterator[memoryview]:
    for segment in segments:
        yield from device.read(segment.file_offset, segment.length)
