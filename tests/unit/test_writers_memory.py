# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of an apply is bounded: by frames being written, not by frames that wait."""

import asyncio
import contextlib
import os
import random
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.applying import captured
from tests.trees import small_system

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.index import Index
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap.units import KiB, MiB
from swarmstrap_server.images.publish import Published


@contextlib.asynccontextmanager
async def opened(
    image: Published, target: Path, count: int
) -> AsyncIterator[tuple[Writers, Index]]:
    index = load_index(image.directory / INDEX_FILE, image.manifest)
    writers = Writers.start(count)
    try:
        await writers.open(Tree(os.fsencode(target)), image.directory / PAYLOAD_FILE, index)
        yield writers, index
    finally:
        await writers.stop()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def memory(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KiB for line in lines if line.startswith(f"{what}:"))


async def test_a_writer_holds_one_frame(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    small_system(source)
    (source / "large").write_bytes(random.Random(1).randbytes(160 * MiB))
    image = captured(source, tmp_path)
    async with opened(image, target, 1) as (writers, index):
        await writers.skeleton()
        (server,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        (writer,) = map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())
        before = memory(writer, "VmRSS")
        async with asyncio.TaskGroup() as tasks:
            for frame in range(len(index.frames)):
                tasks.create_task(writers.write(frame))
        grown = memory(writer, "VmHWM") - before
    largest = max(frame.length + frame.unpacked for frame in index.frames)
    assert len(index.frames) >= 20
    assert grown < largest + 8 * MiB


async def test_waiting_frames_hold_no_requests(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    small_system(source)
    (source / "small").mkdir()
    for number in range(2000):
        (source / f"small/{number}").write_bytes(b"%d" % number)
    async with opened(captured(source, tmp_path), target, 0) as (writers, index):
        assert max(len(frame.members) for frame in index.frames) >= 2000
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            waiting = [asyncio.create_task(writers.write(0)) for _ in range(1000)]
            await asyncio.sleep(0)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert after - before < 1000 * 4 * KiB
