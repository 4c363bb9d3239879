# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs that frames are independent: the same tar cut every so many MiB, and not at all.

A frame knows nothing of the ones before it, so it is larger. Level 19 takes minutes for each 100 MB
and is measured on a part of the tar.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import zstandard

from swarmstrap.units import MiB
from swarmstrap_server.images.compress import compress
from swarmstrap_server.images.framing import Framer
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.walk import Walk

LEVELS = (3, 9, 19)
SIZES = (4, 8, 16)
# From the middle of the tree, a multiple of all sizes.
SAMPLE = 192 * MiB
_SAMPLED = 19


@dataclass(frozen=True, slots=True)
class Row:
    """Bytes of the tar, as one stream and in frames of `frame` MiB; `cost` in percent."""

    level: int
    frame: int
    tar: int
    stream: int
    frames: int

    @property
    def cost(self) -> float:
        return 100 * (self.frames / self.stream - 1)


def bench(tree: Path, say: Callable[[str], None]) -> list[Row]:
    tar = b"".join(frame.data for frame in Framer(Walk(Directory(tree), ())))
    middle = len(tar) // 2
    return list(_rows(tar, tar[middle : middle + SAMPLE], say))


def _rows(tar: bytes, sample: bytes, say: Callable[[str], None]) -> Iterator[Row]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for level in LEVELS:
            data = sample if level == _SAMPLED else tar
            whole = pool.submit(_one_stream, data, level)
            sizes = [_in_frames(pool, data, level, size) for size in SIZES]
            for size, frames in zip(SIZES, sizes, strict=True):
                row = Row(level, size, len(data), whole.result(), frames)
                say(f"frames of {size} MiB at level {level}: {row.cost:+.1f} %")
                yield row


def _one_stream(data: bytes, level: int) -> int:
    return len(zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data))


def _in_frames(pool: ThreadPoolExecutor, data: bytes, level: int, mebibytes: int) -> int:
    size = mebibytes * MiB
    cuts = (data[begin : begin + size] for begin in range(0, len(data), size))
    return sum(len(frame) for frame in pool.map(lambda cut: compress(cut, level), cuts))


def table(rows: list[Row]) -> list[str]:
    lines = [f"| level | MB of tar | {' | '.join(f'{size} MiB' for size in SIZES)} |"]
    lines.append("|---" * (2 + len(SIZES)) + "|")
    for level in LEVELS:
        ours = [row for row in rows if row.level == level]
        costs = " | ".join(f"{row.cost:+.1f} %" for row in ours)
        lines.append(f"| {level} | {ours[0].tar / 1e6:.0f} | {costs} |")
    return lines
