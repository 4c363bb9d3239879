# SPDX-License-Identifier: GPL-2.0-or-later
"""Capturing a tree beside `tar | zstd` at the same level with as many threads.

Both read the same tree, which is in the page cache, and write to memory. A capture also cuts the
tar into frames, takes a digest of every file, writes the index, the torrent's hashes and signs.
"""

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory

LEVEL = 9
_TAR = ("tar", "--sort=name", "--one-file-system", "--sparse", "--xattrs", "--acls", "-C")


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of seconds; `size` in bytes of everything that was written."""

    way: str
    seconds: float
    cpu_seconds: float
    size: int


def bench(tree: Path, rounds: int, say: Callable[[str], None]) -> list[Row]:
    ways = {f"tar piped to zstd -{LEVEL}": by_tar, f"swarmstrap, level {LEVEL}": by_publish}
    found: dict[str, list[Row]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, capture in ways.items():
            with tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as folder:
                started, busy = time.monotonic(), _processor_seconds()
                size = capture(tree, Path(folder))
                seconds = time.monotonic() - started
                found[way].append(Row(way, seconds, _processor_seconds() - busy, size))
            say(f"capture, {way}: {seconds:.0f} s")
    return [
        Row(
            way,
            round(statistics.median(row.seconds for row in rows), 1),
            round(statistics.median(row.cpu_seconds for row in rows), 1),
            rows[0].size,
        )
        for way, rows in found.items()
    ]


def by_tar(tree: Path, folder: Path) -> int:
    out = folder / "tree.tar.zst"
    threads = len(os.sched_getaffinity(0))
    zstd = ["zstd", "-q", f"-{LEVEL}", f"-T{threads}", "-o", str(out)]
    with subprocess.Popen([*_TAR, str(tree), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(zstd, stdin=tar.stdout, check=True)
    if tar.returncode:
        raise RuntimeError(f"tar ended with {tar.returncode}")
    return out.stat().st_size


def by_publish(tree: Path, folder: Path) -> int:
    key = Key.generate(folder / "publisher")
    store = ImageStore(folder / "images")
    manifest = publish(Directory(tree), "tree", "1", store, key, level=LEVEL, strip=()).manifest
    return manifest.payload.size + manifest.index.size


def table(rows: list[Row]) -> list[str]:
    first = rows[0]
    lines = ["| way | seconds | processor seconds | MB | size to tar |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.way} | {row.seconds:.0f} | {row.cpu_seconds:.0f} | {row.size / 1e6:.0f} "
        f"| {row.size / first.size:.3f} |"
        for row in rows
    ]
    return lines


def _processor_seconds() -> float:
    """Of this process and all it waited for; the work of kernel threads is missing."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
