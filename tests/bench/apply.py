# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying an image beside `tar --zstd -x` of the same file to the same kind of filesystem.

    python tests/bench/apply.py TREE --folder FOLDER [--runs 3]

Captures TREE into FOLDER (kept and used again). Then both take turns, each time on a new ext4 in
memory (a loop device on a tmpfs), so that the disk and its other users have no part in it; every
run ends with the filesystem synced. Prints one JSON object: seconds of wall clock and processor,
and the ratio of the best of each. Needs root, and memory for the unpacked tree twice.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmstrap.effects.unpack import Writers
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap.units import MiB
from swarmstrap_server.images import Image, ImageStore
from swarmstrap_server.publish import publish
from swarmstrap_server.signing import Key


def captured(tree: Path, folder: Path) -> tuple[Image, float]:
    """The image of `tree`, and MB/s of reading it where it was captured now (else 0)."""
    store = ImageStore(folder / "images")
    if store.ls("bench"):
        return store.latest("bench"), 0.0
    (folder / "publisher").unlink(missing_ok=True)
    published = publish(tree, "bench", None, store, Key.generate(folder / "publisher"), strip=())
    rate = published.manifest.unpacked / 1e6 / published.seconds
    return Image(published.manifest, published.directory), rate


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
        index = await writers.open(
            target, image.directory / PAYLOAD_FILE, image.directory / INDEX_FILE, image.manifest
        )
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


def measure(apply: Callable[[Image, Path], None], image: Image) -> tuple[float, float]:
    """Seconds of wall clock and of processors."""
    with new_filesystem(2 * image.manifest.unpacked + 512 * MiB) as target:
        started, busy = time.monotonic(), processor_seconds()
        apply(image, target)
        return time.monotonic() - started, processor_seconds() - busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    image, rate = captured(arguments.tree, arguments.folder)
    runs: dict[str, list[tuple[float, float]]] = {"tar": [], "writers": []}
    for _ in range(arguments.runs):
        runs["tar"].append(measure(by_tar, image))
        runs["writers"].append(measure(by_writers, image))
    result = {
        "unpacked_bytes": image.manifest.unpacked,
        "payload_bytes": image.manifest.payload.size,
        "entries": image.manifest.entries,
        "capture_mb_per_second": round(rate, 1),
        "seconds": {name: [round(run[0], 2) for run in taken] for name, taken in runs.items()},
        "processor_seconds": {
            name: [round(run[1], 2) for run in taken] for name, taken in runs.items()
        },
        "ratio": round(min(runs["writers"])[0] / min(runs["tar"])[0], 2),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
