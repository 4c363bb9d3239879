# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong with a disk while an image is written to it is told with the path it befell."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.applying import captured
from tests.trees import needs_root, small_system

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.errors import StepFailed
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap.units import MiB
from swarmstrap_server.images.publish import Published

pytestmark = needs_root

Mounted = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """Mounts a new ext4 of so many bytes, whose disk is a file in memory that has `room`."""
    target, memory = tmp_path / "target", tmp_path / "memory"

    def make(size: int, *mkfs: str, room: int) -> Path:
        for folder in (target, memory):
            folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", memory], check=True)
        with (memory / "disk").open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", *mkfs, memory / "disk"], check=True)
        subprocess.run(["mount", "-o", "loop", memory / "disk", target], check=True)
        return target

    yield make
    subprocess.run(["umount", target], check=True)
    subprocess.run(["umount", "--lazy", memory], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Published:
    """Many small files, and a large one."""
    source = tmp_path / "source"
    small_system(source)
    (source / "srv").mkdir()
    for number in range(200):
        (source / f"srv/{number}").write_bytes(os.urandom(MiB // 8))
    (source / "large").write_bytes(os.urandom(24 * MiB))
    return captured(source, tmp_path)


async def write(image: Published, target: Path, before_data: Callable[[], object]) -> None:
    directory = image.directory
    index = load_index(directory / INDEX_FILE, image.manifest)
    writers = Writers.start(2)
    try:
        await writers.open(Tree(os.fsencode(target)), directory / PAYLOAD_FILE, index)
        await writers.skeleton()
        before_data()
        async with asyncio.TaskGroup() as tasks:
            for frame in range(len(index.frames)):
                tasks.create_task(writers.write(frame))
        await writers.finish()
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    finally:
        await writers.stop()


async def test_no_room_for_a_large_file_is_known_before_its_data(
    image: Published, mounted: Mounted
) -> None:
    target = mounted(20 * MiB, room=64 * MiB)
    with pytest.raises(StepFailed, match="cannot write 'large': No space left on device") as error:
        await write(image, target, lambda: pytest.fail("data were awaited"))
    assert "more room in the layout" in error.value.hint


async def test_no_room_for_small_files(image: Published, mounted: Mounted) -> None:
    target = mounted(44 * MiB, room=64 * MiB)
    with pytest.raises(StepFailed, match=r"cannot write 'srv/\d+': No space left on device"):
        await write(image, target, lambda: None)


async def test_no_inodes(image: Published, mounted: Mounted) -> None:
    target = mounted(128 * MiB, "-N", "64", room=128 * MiB)
    with pytest.raises(StepFailed, match=r"cannot write 'srv/\d+': No space left on device"):
        await write(image, target, lambda: None)


async def test_a_filesystem_that_goes_read_only(image: Published, mounted: Mounted) -> None:
    target = mounted(128 * MiB, room=128 * MiB)

    def spoil() -> None:
        subprocess.run(["mount", "-o", "remount,ro", target], check=True)

    with pytest.raises(StepFailed, match=r"cannot write '.+': Read-only file system") as error:
        await write(image, target, spoil)
    assert "kernel log" in error.value.hint


async def test_what_a_disk_loses_afterwards(image: Published, mounted: Mounted) -> None:
    # Without a journal nothing fails before the data themselves are on their way to the disk.
    target = mounted(128 * MiB, "-O", "^has_journal,^metadata_csum", room=16 * MiB)
    lost = r"cannot sync '.*/target' on /dev/loop\d+: Input/output error"
    with pytest.raises(StepFailed, match=lost):
        await write(image, target, lambda: None)
