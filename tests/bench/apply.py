# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying an image beside `tar --zstd -x` of the same file to the same kind of filesystem.

Both take turns, each time on a new ext4 in memory (a loop device on a tmpfs), so that the disk and
its other users have no part in it; every run ends with the filesystem synced. Frames come to the
writers in an order like a swarm's. Needs root, and memory for the unpacked tree twice.
"""

import asyncio
import os
import random
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.effects.unpack import Writers
from swarmstrap.effects.writer import Tree
from swarmstrap.effects.zstd import load_index
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap.units import MiB
from swarmstrap_server.images.library import Image


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of wall clock and of processors."""

    seconds: float
    busy: float


@dataclass(frozen=True, slots=True)
class Applied:
    """Every run of both; sizes in bytes."""

    payload: int
    unpacked: int
    entries: int
    tar: tuple[Run, ...]
    writers: tuple[Run, ...]

    @property
    def ratio(self) -> float:
        """Median seconds of the writers over tar's."""
        return median(self.writers)[0] / median(self.tar)[0]


def median(runs: Sequence[Run]) -> tuple[float, float]:
    """Of seconds and of processor seconds, each for itself."""
    return (
        statistics.median(run.seconds for run in runs),
        statistics.median(run.busy for run in runs),
    )


def bench(image: Image, pairs: int, say: Callable[[str], None]) -> Applied:
    tar, writers = [], []
    for _ in range(pairs):
        tar.append(measure(by_tar, image))
        writers.append(measure(by_writers, image))
        say(f"apply: tar {tar[-1].seconds:.1f} s, swarmstrap {writers[-1].seconds:.1f} s")
    manifest = image.manifest
    return Applied(
        payload=manifest.payload.size,
        unpacked=manifest.unpacked,
        entries=manifest.entries,
        tar=tuple(tar),
        writers=tuple(writers),
    )


@contextmanager
def new_filesystem(size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        disk, target = Path(memory) / "disk", Path(memory) / "target"
        target.mkdir()
        disk.touch()
        os.truncate(disk, size)
        subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
        subprocess.run(["mount", "-o", "loop", disk, target], check=True)
        try:
            yield target
        finally:
            subprocess.run(["umount", target], check=True)


def by_tar(image: Image, target: Path) -> None:
    command = ["tar", "--zstd", "-xpf", str(image.directory / PAYLOAD_FILE), "-C", str(target)]
    subprocess.run([*command, "--xattrs", "--xattrs-include=*", "--acls"], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def by_writers(image: Image, target: Path) -> None:
    asyncio.run(_write_all(image, target))


async def _write_all(image: Image, target: Path) -> None:
    writers = Writers.start(len(os.sched_getaffinity(0)))
    try:
        index = load_index(image.directory / INDEX_FILE, image.manifest)
        await writers.open(Tree(os.fsencode(target)), image.directory / PAYLOAD_FILE, index)
        await writers.skeleton()
        frames = list(range(len(index.frames)))
        random.Random(1).shuffle(frames)
        async with asyncio.TaskGroup() as tasks:
            for frame in frames:
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()


def processor_seconds() -> float:
    """Of this process and all it waited for; the work of kernel threads is missing."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def measure(apply: Callable[[Image, Path], None], image: Image) -> Run:
    with new_filesystem(2 * image.manifest.unpacked + 512 * MiB) as target:
        started, busy = time.monotonic(), processor_seconds()
        apply(image, target)
        return Run(time.monotonic() - started, processor_seconds() - busy)
