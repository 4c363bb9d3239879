# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk image on a disk full of other data: the writers' processes on a real block device."""

import asyncio
import os
import random
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.disk import windowslike
from tests.disk.windowslike import SIZE

from swarmstrap.disk_image import check_disk, last_frames, room
from swarmstrap.effects.disks.whole_disk import WholeDisk
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.errors import StepFailed, SwarmstrapError, Untrusted
from swarmstrap.extents import gaps, merged
from swarmstrap.index import Index
from swarmstrap.layout import Unused
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, DiskFacts
from swarmstrap.units import MiB
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.disk import disk_image

Sparse = Callable[[int], Path]
Attach = Callable[[Path, int], str]

GARBAGE = b"\xa5"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    windowslike.make(folder / "disk.raw", folder)
    return folder / "disk.raw"


@pytest.fixture(scope="module")
def image(raw: Path) -> Published:
    key = Key.generate(raw.parent / "publisher")
    store = ImageStore(raw.parent / "images")
    with disk_image(raw, raw.parent) as (source, about):
        return publish(source, "windows", "1", store, key, level=1, strip=(), about=about)


def index_of(image: Published) -> Index:
    return load_index(image.directory / INDEX_FILE, image.manifest)


def facts_of(image: Published) -> DiskFacts:
    assert image.manifest.disk is not None
    return image.manifest.disk


@asynccontextmanager
async def begun(
    image: Published, node: str, unused: Unused = "discard"
) -> AsyncIterator[tuple[WholeDisk, Writers]]:
    disk = WholeDisk(node, image.manifest, unused, lambda line: None)
    writers = Writers.start(2)
    try:
        await disk.begin(writers, image.directory / PAYLOAD_FILE, index_of(image))
        yield disk, writers
    finally:
        await writers.stop()
        disk.close()


async def write(image: Published, writers: Writers) -> None:
    """Every frame, in any order but for the last ones; then all of it is on the disk."""
    index = index_of(image)
    last = last_frames(index, facts_of(image))
    others = [number for number in range(len(index.frames)) if number not in last]
    random.Random(4).shuffle(others)
    async with asyncio.TaskGroup() as tasks:
        for number in others:
            tasks.create_task(writers.write(number))
    for number in last:
        await writers.write(number)
    await writers.finish()


@pytest.fixture
def garbage(sparse: Sparse, attach: Attach) -> tuple[Path, str]:
    """A disk, somewhat larger than the image, that holds something else everywhere."""
    path = sparse(SIZE + 64 * MiB)
    with path.open("wb") as file:
        for _ in range(SIZE // MiB + 64):
            file.write(GARBAGE * MiB)
    return path, attach(path, 512)


@pytest.mark.parametrize("unused", ["discard", "zero", "keep"])
async def test_written_in_any_order(
    raw: Path, image: Published, garbage: tuple[Path, str], unused: Unused
) -> None:
    path, node = garbage
    async with begun(image, node, unused) as (disk, writers):
        await write(image, writers)
        disk.read_back()
    original, written = raw.read_bytes(), path.read_bytes()
    facts = facts_of(image)
    free = merged(facts.unused)
    for start, size in gaps(free, SIZE):
        assert written[start : start + size] == original[start : start + size]
    # A loop device punches a hole for what is discarded, and holes read as zeros.
    left = GARBAGE if unused == "keep" else b"\0"
    for start, size in free:
        assert written[start : start + size] == left * size
    assert written[SIZE:] == GARBAGE * (64 * MiB)
    assert kept_file(path) == (raw.parent / "kept").read_bytes()


def kept_file(path: Path) -> bytes:
    start, size = windowslike.DATA
    node = subprocess.check_output(
        ["losetup", "-f", "--show", "-r", f"-o{start}", f"--sizelimit={size}", path], text=True
    ).strip()
    try:
        subprocess.run(["ntfsfix", "--no-action", node], check=True, capture_output=True)
        return subprocess.check_output(["ntfscat", node, "kept"])
    finally:
        subprocess.run(["losetup", "-d", node], check=True)


async def test_both_ends_are_empty_until_all_else_is_written(
    image: Published, garbage: tuple[Path, str]
) -> None:
    _, node = garbage
    with Path(node).open("r+b") as file:
        file.write(bytes(MiB))
    index = index_of(image)
    last = last_frames(index, facts_of(image))
    assert 0 < len(last) < len(index.frames)
    async with begun(image, node) as (_, writers):
        for number in set(range(len(index.frames))) - set(last):
            await writers.write(number)
        await writers.sync()
        with Path(node).open("rb") as file:
            assert file.read(MiB) == bytes(MiB)


async def test_a_disk_that_does_not_give_back_what_was_written(
    image: Published, garbage: tuple[Path, str]
) -> None:
    path, node = garbage
    async with begun(image, node) as (disk, writers):
        await write(image, writers)
        frame = index_of(image).frames[-2]
        place = frame.members[0].segments[0].file_offset
        with path.open("r+b") as file:
            file.seek(place + 500)
            file.write(b"rotten")
        with pytest.raises(StepFailed, match=f"{node} does not give back .* from byte {place} on"):
            disk.read_back()


async def test_nobody_else_gets_the_disk_meanwhile(
    image: Published, garbage: tuple[Path, str]
) -> None:
    _, node = garbage
    async with begun(image, node):
        with pytest.raises(OSError, match="busy"):
            os.open(node, os.O_RDWR | os.O_EXCL)
    os.close(os.open(node, os.O_RDWR | os.O_EXCL))


@pytest.fixture
def small(tmp_path: Path, attach: Attach) -> Iterator[str]:
    """A disk that is full long before its end: it lies on a filesystem of 8 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], check=True)
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(SIZE)
    yield attach(tmp_path / "disk.img", 512)
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


async def test_a_write_that_fails_is_the_end_and_says_where(image: Published, small: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with begun(image, small) as (_, writers):
            await write(image, writers)
    error = caught.value.exceptions[0]
    assert isinstance(error, StepFailed)
    assert re.match(f"cannot write {small} at byte [0-9]+: ", error.message)
    assert error.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": SIZE - 512}, "is not one file disk.img"),
        ({"logical_sector": 3}, "in sectors of 3"),
        ({"unused": ((MiB + 1, 512),)}, "no whole sectors"),
        ({"unused": ((SIZE, 512),)}, "no whole sectors"),
    ],
)
def test_an_index_that_is_not_of_this_disk(
    image: Published, change: dict[str, int], says: str
) -> None:
    facts = facts_of(image)
    check_disk(index_of(image), facts)
    with pytest.raises(Untrusted, match=says):
        check_disk(index_of(image), replace(facts, **change))


def test_data_are_never_room(image: Published) -> None:
    """However a manifest lies about what is unused."""
    index = index_of(image)
    empty = room(index, replace(facts_of(image), unused=((0, SIZE),)))
    data = merged(
        (s.file_offset, s.length) for f in index.frames for m in f.members for s in m.segments
    )
    assert empty.zero == ()
    assert merged([*data, *empty.unused]) == ((0, SIZE),)
    assert sum(size for _, size in (*data, *empty.unused)) == SIZE


async def test_a_node_that_is_no_disk(image: Published, tmp_path: Path) -> None:
    with pytest.raises(SwarmstrapError, match=r"cannot take .* for writing"):
        async with begun(image, str(tmp_path / "nothing")):
            pass
