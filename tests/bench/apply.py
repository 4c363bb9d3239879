# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacking one image beside GNU tar and bsdtar, onto ext4, xfs and btrfs.

The engines take turns, each time on a new filesystem in memory (a loop device on a tmpfs whose
pages are all there), so that the disk and its other users have no part in it. Every run ends with
the filesystem synced, and its seconds are told with that and without. One of them downloads the
image meanwhile, as fast as it can, from `swarmstrap serve` in another network namespace; what that
server needs of the same processors is in its wall clock time only.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from tests.bench.engine import DOWNLOADING, Run
from tests.bench.links import Machine, machines
from tests.bench.processes import line, peak, process

from swarmstrap.units import MiB
from swarmstrap_server.images.library import Image

ENGINES = (
    "gnu-tar",
    "bsdtar",
    "swarmstrap-in-order",
    "swarmstrap-random-order",
    DOWNLOADING,
)
# What is not discarded stays in memory.
_MKFS = {"ext4": ("-F", "-E", "nodiscard"), "xfs": ("-f", "-K"), "btrfs": ("-f", "-K")}
FILESYSTEMS = tuple(_MKFS)
_ZEROS = bytes(16 * MiB)
RESULT = Path("build/bench/apply.json")
_READY_SECONDS = 60.0
_RUN_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Row:
    """Medians. The ratios are of the seconds and of the synced ones, on the same filesystem."""

    engine: str
    filesystem: str
    seconds: float
    synced_seconds: float
    cpu_seconds: float
    peak_mb: float
    ratio_to_tar: float
    synced_ratio_to_tar: float


async def bench(site: Path, image: Image, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Every engine on every filesystem once in each round. Needs root."""
    runs: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    async with serving(site) as (server, node):
        for _ in range(rounds):
            for filesystem in FILESYSTEMS:
                for engine in ENGINES:
                    run = await measure(engine, filesystem, image, server, node)
                    say(
                        f"{filesystem}, {engine}: {run.seconds:.1f} s, synced "
                        f"{run.synced_seconds:.1f} s, {run.cpu_seconds:.1f} s busy"
                    )
                    runs[filesystem, engine].append(run)
    return [
        _row(engine, filesystem, runs[filesystem, engine], runs[filesystem, ENGINES[0]])
        for filesystem in FILESYSTEMS
        for engine in ENGINES
    ]


def _row(engine: str, filesystem: str, runs: list[Run], tar: list[Run]) -> Row:
    seconds, tars = (statistics.median(run.seconds for run in some) for some in (runs, tar))
    synced, tars_synced = (
        statistics.median(run.synced_seconds for run in some) for some in (runs, tar)
    )
    return Row(
        engine=engine,
        filesystem=filesystem,
        seconds=round(seconds, 2),
        synced_seconds=round(synced, 2),
        cpu_seconds=round(statistics.median(run.cpu_seconds for run in runs), 2),
        peak_mb=round(max(run.peak for run in runs) / 1e6, 1),
        ratio_to_tar=round(seconds / tars, 2),
        synced_ratio_to_tar=round(synced / tars_synced, 2),
    )


@contextlib.asynccontextmanager
async def serving(site: Path, rate: int | None = None) -> AsyncIterator[tuple[Machine, Machine]]:
    """`swarmstrap serve` on the first of two machines, whose links carry `rate` bit/s each way;
    None is as much as the processors can.
    """
    with machines(2, rate) as (server, node):
        command = [sys.executable, "-m", "swarmstrap_server.cli", "--site", str(site), "serve"]
        async with process(server.command(*command)) as running:
            await line(running, _READY_SECONDS, "the server to be ready")
            yield server, node


async def measure(
    engine: str, filesystem: str, image: Image, server: Machine, node: Machine
) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as name,
        new_filesystem(filesystem, Path(name), 2 * image.manifest.unpacked + 512 * MiB) as target,
    ):
        staging = Path(name) / "staging"
        staging.mkdir()
        words = [sys.executable, "-m", "tests.bench.engine", engine, str(image.directory)]
        network = [str(staging), str(node.address), str(server.address)]
        command = node.command(*words, str(target), *network)
        async with process(command) as running:
            await line(running, _READY_SECONDS, "an engine to be ready")
            assert running.stdin is not None
            running.stdin.write(b"\n")
            ending = asyncio.create_task(line(running, _RUN_SECONDS, f"{engine} to end"))
            most = await peak(running.pid, ending)
            run = msgspec.json.decode(await ending, type=Run)
            return msgspec.structs.replace(run, peak=most)


@contextlib.contextmanager
def new_filesystem(kind: str, folder: Path, size: int) -> Iterator[Path]:
    """A new filesystem of so many bytes, mounted in `folder`, which holds its data too."""
    disk, target = folder / "disk", folder / "target"
    target.mkdir()
    # A disk does not have to find its sectors when they are written for the first time.
    with disk.open("wb") as file:
        for _ in range(0, size, len(_ZEROS)):
            file.write(_ZEROS)
    # mkfs.btrfs has notes for everybody, quiet or not.
    subprocess.run([f"mkfs.{kind}", "-q", *_MKFS[kind], disk], capture_output=True, check=True)
    subprocess.run(["mount", "-o", "loop", disk, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


def write(rows: list[Row]) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def table(rows: list[Row]) -> Iterator[str]:
    yield "| filesystem | engine | seconds | to tar | synced | to tar | processor s | peak, MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row.filesystem} | {row.engine} | {row.seconds:.1f} | {row.ratio_to_tar:.2f} "
            f"| {row.synced_seconds:.1f} | {row.synced_ratio_to_tar:.2f} "
            f"| {row.cpu_seconds:.1f} | {row.peak_mb:.0f} |"
        )
