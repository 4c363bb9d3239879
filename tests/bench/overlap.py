# SPDX-License-Identifier: GPL-2.0-or-later
"""Downloading and writing at once, beside one after the other, on slow and fast links.

    make bench-overlap

One server and one node, each in a network namespace on the same processors, and the tree of
tests/bench/apply.py onto ext4 in memory. Three ways take turns: the agent's own; the same swarm and
the same writers, one after the other; and HTTP, then GNU tar.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import apply, tree
from tests.bench.engine import DOWNLOADED, DOWNLOADING, HTTP_AND_TAR, Run

from swarmstrap_server.images.library import Image

WAYS = (DOWNLOADING, DOWNLOADED, HTTP_AND_TAR)
RATES: tuple[int | None, ...] = (250_000_000, 600_000_000, 1_000_000_000, None)
RESULT = Path("build/bench/overlap.json")
_FILESYSTEM = "ext4"

Runs = dict[tuple[int | None, str], list[Run]]


@dataclass(frozen=True, slots=True)
class Row:
    """Medians. `bound` are the seconds of the payload through the link, 0 where nothing shapes it.

    `larger` is the longer of download and apply when they come one after the other, in the same
    rounds; processor seconds are those of the node, without kernel threads.
    """

    rate: int | None
    way: str
    seconds: float
    synced_seconds: float
    downloaded_seconds: float
    bound: float
    to_larger: float
    to_afterwards: float
    cpu_python: float
    cpu_threads: float
    cpu_writing: float
    cpu_per_gb: float
    seconds_of_rounds: tuple[float, ...]


async def bench(
    site: Path,
    image: Image,
    rates: Iterable[int | None],
    rounds: int,
    say: Callable[[str], None],
) -> list[Row]:
    """Every way at every rate, once in each round, and with a server that has just begun, for it
    deals nothing twice. Needs root.
    """
    runs: Runs = defaultdict(list)
    for round_ in range(rounds):
        for rate in rates:
            for way in WAYS[:: 1 if round_ % 2 == 0 else -1]:
                async with apply.serving(site, rate) as (server, node):
                    run = await apply.measure(way, _FILESYSTEM, image, server, node)
                runs[rate, way].append(run)
                say(f"{_link(rate)}, {way}: {run.seconds:.1f} s, {run.cpu_seconds:.1f} s busy")
    size = image.manifest.payload.size + image.manifest.index.size
    return [_row(rate, way, runs, size) for rate, way in runs]


def _row(rate: int | None, way: str, runs: Runs, size: int) -> Row:
    these, afterwards = runs[rate, way], runs[rate, DOWNLOADED]
    seconds = _median(run.seconds for run in these)
    downloaded = _median(run.downloaded_seconds for run in afterwards)
    applied = _median(run.seconds - run.downloaded_seconds for run in afterwards)
    cpu = _median(run.cpu_seconds for run in these)
    python = _median(run.cpu_python for run in these)
    threads = _median(run.cpu_threads for run in these)
    return Row(
        rate=rate,
        way=way,
        seconds=round(seconds, 2),
        synced_seconds=round(_median(run.synced_seconds for run in these), 2),
        downloaded_seconds=round(_median(run.downloaded_seconds for run in these), 2),
        bound=round(size * 8 / rate, 2) if rate else 0.0,
        to_larger=round(seconds / max(downloaded, applied), 2),
        to_afterwards=round(seconds / _median(run.seconds for run in afterwards), 2),
        cpu_python=round(python, 2),
        cpu_threads=round(threads, 2),
        cpu_writing=round(cpu - python - threads, 2),
        cpu_per_gb=round(cpu / size * 1e9, 1),
        seconds_of_rounds=tuple(round(run.seconds, 2) for run in these),
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _link(rate: int | None) -> str:
    return f"{rate / 1e6:.0f} Mbit/s" if rate else "not shaped"


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| link | way | seconds | all rounds | synced | downloaded after | to the larger "
        "| to one after the other | Python | libtorrent | writing | processor s per GB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        rounds = " ".join(f"{seconds:.1f}" for seconds in row.seconds_of_rounds)
        downloaded = f"{row.downloaded_seconds:.1f}" if row.downloaded_seconds else ""
        yield (
            f"| {_link(row.rate)} | {row.way} | {row.seconds:.1f} | {rounds} "
            f"| {row.synced_seconds:.1f} | {downloaded} | {row.to_larger:.2f} "
            f"| {row.to_afterwards:.2f} | {row.cpu_python:.1f} | {row.cpu_threads:.1f} "
            f"| {row.cpu_writing:.1f} | {row.cpu_per_gb:.1f} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench-overlap", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rates", type=_rates, default=RATES, metavar="MBIT,MBIT,0")
    given = parser.parse_args()
    image = tree.image(_say)
    size = (image.manifest.payload.size + image.manifest.index.size) / 1e6
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    rows = asyncio.run(bench(tree.SITE, image, given.rates, given.rounds, _say))
    RESULT.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print(f"{size:.0f} MB, {cores} cores, load {load:.1f} before the start\n")
    print("\n".join(table(rows)))
    return 0


def _rates(text: str) -> tuple[int | None, ...]:
    return tuple(round(float(word) * 1e6) or None for word in text.split(","))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
