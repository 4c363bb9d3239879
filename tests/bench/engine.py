# SPDX-License-Identifier: GPL-2.0-or-later
"""One program that unpacks an image, as a process of its own so that its costs can be told apart.

    python -m tests.bench.engine NAME IMAGE TARGET [STAGING ADDRESS TRACKER]

Says `ready`, begins at a line on stdin, and ends with its costs as JSON, all from that line on:
`seconds` until every file is complete, which is where tar ends; `synced_seconds` and `cpu_seconds`,
of every process that it started, until the target is synced too.
"""

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from swarmstrap.effects.disks import mounts
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.effects.transfer.fetch import NewTree, fetch
from swarmstrap.effects.transfer.swarm import Swarm, load
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    TORRENT_FILE,
    parse_manifest,
)
from swarmstrap.reporter import Reporter

DOWNLOADING = "swarmstrap-while-downloading"
_TARS = {
    "gnu-tar": ("tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "-xpf"),
    "bsdtar": ("bsdtar", "--xattrs", "--acls", "-xpf"),
}


# To be called when every file is complete.
Complete = Callable[[], None]


class Timed(Writers):
    """Writers that say when all is complete, before they sync it."""

    said: Complete

    async def complete(self) -> None:
        await super().complete()
        self.said()


def engine(name: str, image: Path, target: Path, *network: str) -> Callable[[Complete], None]:
    """What does it; whatever a node does before an image comes is done now."""
    if name in _TARS:
        command = [*_TARS[name], str(image / PAYLOAD_FILE), "-C", str(target)]
        return lambda complete: _run(command, target, complete)
    writers = Timed.start(len(os.sched_getaffinity(0)))

    def write(complete: Complete) -> None:
        writers.said = complete
        if name == DOWNLOADING:
            asyncio.run(_download(writers, image, target, *network))
        else:
            asyncio.run(_write(writers, image, target, shuffled="random" in name))

    return write


def _run(command: list[str], target: Path, complete: Complete) -> None:
    subprocess.run(command, check=True)
    complete()
    mounts.sync(target)


async def _write(writers: Writers, image: Path, target: Path, *, shuffled: bool) -> None:
    index = load_index(image / INDEX_FILE, parse_manifest((image / MANIFEST_FILE).read_bytes()))
    frames = list(range(len(index.frames)))
    if shuffled:
        random.Random(1).shuffle(frames)
    try:
        await writers.open(Tree(os.fsencode(target)), image / PAYLOAD_FILE, index)
        await writers.skeleton()
        async with asyncio.TaskGroup() as tasks:
            for frame in frames:
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()


async def _download(
    writers: Writers, image: Path, target: Path, staging: str, address: str, tracker: str
) -> None:
    manifest = parse_manifest((image / MANIFEST_FILE).read_bytes())
    torrent = load((image / TORRENT_FILE).read_bytes(), manifest.infohash)
    seeder = urlsplit(tracker).hostname or ""
    place = Path(staging)
    swarm = Swarm(torrent, place, trackers=(tracker,), seeders=frozenset({seeder}), address=address)
    try:
        async with swarm:
            await fetch(
                swarm,
                writers,
                torrent,
                manifest,
                staging=place,
                destination=NewTree(target),
                report=Reporter(),
            )
    finally:
        await writers.stop()


def processor_seconds() -> float:
    """Of this process and all it waited for; the work of kernel threads is missing."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main(name: str, image: str, target: str, *network: str) -> None:
    work = engine(name, Path(image), Path(target), *network)
    print("ready", flush=True)
    sys.stdin.readline()
    started, busy = time.monotonic(), processor_seconds()
    complete: list[float] = []
    work(lambda: complete.append(time.monotonic() - started))
    costs = {
        "seconds": complete[-1],
        "synced_seconds": time.monotonic() - started,
        "cpu_seconds": processor_seconds() - busy,
    }
    print(json.dumps(costs), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
