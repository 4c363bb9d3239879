# SPDX-License-Identifier: GPL-2.0-or-later
"""An image gives back the tree it was made of, by our writers in any order and by GNU tar."""

import asyncio
import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from tests.comparing import differences
from tests.trees import needs_root, small_system

from swarmstrap.effects.images.entries import Target
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree, ownerless_devices
from swarmstrap.effects.images.zstd import NotYetReadable, decompress, load_index
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.index import Entry, Segment
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, File
from swarmstrap.mountinfo import Mount
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory


def frames(image: Published) -> int:
    return len(load_index(image.directory / INDEX_FILE, image.manifest).frames)


async def begin(
    writers: Writers, image: Published, root: Path, payload: Path | None = None
) -> None:
    index = load_index(image.directory / INDEX_FILE, image.manifest)
    payload = payload or image.directory / PAYLOAD_FILE
    await writers.open(Tree(os.fsencode(root)), payload, index)
    await writers.skeleton()


async def apply(image: Published, root: Path, order: list[int], workers: int = 2) -> None:
    writers = Writers.start(workers)
    try:
        await begin(writers, image, root)
        async with asyncio.TaskGroup() as tasks:
            for frame in order:
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()


@pytest.fixture
def small(tmp_path: Path) -> Published:
    source = tmp_path / "source"
    small_system(source)
    for number in range(3):
        (source / f"data{number}").write_bytes(random.Random(number).randbytes(9 << 20))
    key = Key.generate(tmp_path / "publisher")
    return publish(Directory(source), "small", "1", ImageStore(tmp_path / "images"), key, level=1)


async def test_a_frame_that_is_not_there_yet(small: Published, tmp_path: Path) -> None:
    arriving, target = tmp_path / "arriving", tmp_path / "target"
    target.mkdir()
    payload = (small.directory / PAYLOAD_FILE).read_bytes()
    writers = Writers.start(1)
    try:
        await begin(writers, small, target, arriving)
        with pytest.raises(NotYetReadable, match="the payload is not there"):
            await writers.write(1)
        arriving.write_bytes(payload[:1000])
        for _ in range(2):
            with pytest.raises(NotYetReadable, match="frame 1 does not have its digest"):
                await writers.write(1)
        arriving.write_bytes(bytes(len(payload)))  # as libtorrent would: full size, holes
        with pytest.raises(NotYetReadable):
            await writers.write(1)
        arriving.write_bytes(payload)
        for frame in range(frames(small)):
            await writers.write(frame)
        await writers.finish()
    finally:
        await writers.stop()
    assert differences(tmp_path / "source", target) == []


def test_an_index_that_is_not_there_yet(small: Published, tmp_path: Path) -> None:
    index = tmp_path / INDEX_FILE
    index.write_bytes(b"")
    with pytest.raises(NotYetReadable, match=r"index\.zst does not have the manifest's digest"):
        load_index(index, small.manifest)


@pytest.mark.parametrize("content", [b"", b"no zstd", zstandard.compress(b"\x93\x01\x90\x90")])
def test_a_signed_index_that_is_none(small: Published, tmp_path: Path, content: bytes) -> None:
    index = tmp_path / INDEX_FILE
    index.write_bytes(content)
    named = File(len(content), hashlib.sha256(content).hexdigest())
    manifest = msgspec.structs.replace(small.manifest, index=named)
    with pytest.raises(Untrusted):
        load_index(index, manifest)


@pytest.mark.parametrize(
    ("data", "unpacked"),
    [
        (zstandard.compress(b"x" * 100), 99),
        (zstandard.compress(b"x" * 100) + b"more", 100),
        (zstandard.compress(b"x" * 100)[:-3], 100),
        (zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100), 100),
        (b"", 0),
    ],
)
def test_a_frame_of_another_size(data: bytes, unpacked: int) -> None:
    with pytest.raises(Untrusted):
        decompress(data, unpacked)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def writer_processes() -> list[int]:
    """They are the children of the fork server, which is the only child of this process."""
    return [child for server in children(os.getpid()) for child in children(server)]


async def test_a_writer_that_dies_is_an_error(small: Published, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    writers = Writers.start(1)
    try:
        await begin(writers, small, target)
        (child,) = writer_processes()
        os.kill(child, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(StepFailed, match=r"writing frame 0: .* was killed by SIGKILL"):
                await writers.write(0)
    finally:
        await writers.stop()


async def test_an_abandoned_writer_answers_nobody_else(small: Published, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    writers = Writers.start(1)
    try:
        await begin(writers, small, target)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await writers.write(0)
        with pytest.raises(StepFailed, match="writing frame 0 was given up"):
            await writers.write(1)
    finally:
        await writers.stop()


async def test_writers_can_begin_anew_and_leave_no_process(
    small: Published, tmp_path: Path
) -> None:
    before = children(os.getpid())
    writers = Writers.start(3)
    for number in range(2):
        target = tmp_path / str(number)
        target.mkdir()
        await begin(writers, small, target)
        assert len(writer_processes()) == 3
        await writers.write(0)
        await writers.finish()
        await writers.rest()
        await writers.rest()
        assert writer_processes() == []
        assert (target / "bin/sh").read_bytes().endswith(b"shell")
    await writers.stop()
    await writers.stop()
    assert children(os.getpid()) == before


async def test_a_lost_fork_server_is_one_line(small: Published, tmp_path: Path) -> None:
    before = children(os.getpid())
    writers = Writers.start(1)
    (server,) = set(children(os.getpid())) - set(before)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(StepFailed, match="the process that starts the writers is gone"):
        await begin(writers, small, tmp_path)
    await writers.stop()


async def test_only_some_entries(small: Published, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    index = load_index(small.directory / INDEX_FILE, small.manifest)
    only = {number for number, e in enumerate(index.entries) if e.path in (b".", b"bin", b"data1")}
    writers = Writers.start(2)
    try:
        payload = small.directory / PAYLOAD_FILE
        await writers.open(Tree(os.fsencode(target)), payload, index, only)
        await writers.skeleton()
        for frame in range(len(index.frames)):
            await writers.write(frame)
        await writers.finish()
    finally:
        await writers.stop()
    assert sorted(os.listdir(target)) == ["bin", "data1"]
    assert os.listdir(target / "bin") == []
    assert (target / "data1").read_bytes() == (tmp_path / "source/data1").read_bytes()
    assert (target / "bin").stat().st_mtime_ns == (tmp_path / "source/bin").stat().st_mtime_ns


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "tiny"
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(target)]
    subprocess.run(mount, check=True)
    yield target
    subprocess.run(["umount", target], check=True)


@needs_root
async def test_a_full_disk_names_the_path(small: Published, tiny_disk: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await apply(small, tiny_disk, list(range(frames(small))))
    error = caught.value.exceptions[0]
    assert isinstance(error, StepFailed)
    assert re.match(r"cannot write 'data\d': No space left on device", error.message)
    assert "more room in the layout" in error.hint


async def test_nothing_is_written_through_a_link(small: Published, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    for folder in (outside, target):
        folder.mkdir()
    (target / "etc").symlink_to(outside)
    with pytest.raises(StepFailed, match="cannot write 'etc': Not a directory"):
        await apply(small, target, [])
    (target / "etc").unlink()
    (target / "data0").symlink_to(outside / "data0")
    with pytest.raises(StepFailed, match="cannot write 'data0': File exists"):
        await apply(small, target, [])
    assert list(outside.iterdir()) == []


async def test_a_target_with_mount_points_in_it(small: Published, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "lost+found").mkdir(parents=True)
    (target / "etc").mkdir(mode=0o700)
    await apply(small, target, list(range(frames(small))))
    assert differences(tmp_path / "source", target) == [r"too much: b'/lost+found'"]


@needs_root
def test_a_directory_that_hands_its_group_down(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    os.chown(given, 0, 7)
    given.chmod(0o2755)
    target = Target(tmp_path)
    for path, gid in ((b"given/ours", 0), (b"given/theirs", 9), (b"ours", 0)):
        target.write(Entry(path, "f", 0o644, 0, gid, 0, 1), (Segment(0, 0, 1),), memoryview(b"x"))
    groups = [(tmp_path / name).stat().st_gid for name in ("given/ours", "given/theirs", "ours")]
    assert groups == [0, 9, 0]


def test_open_directories_are_bounded(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    target = Target(tmp_path)
    for number in range(500):
        target.make(Entry(b"%d" % number, "d", 0o755, os.getuid(), os.getgid(), 0))
        target.make(Entry(b"%d/empty" % number, "f", 0o644, os.getuid(), os.getgid(), 0))
    opened = set(os.listdir("/proc/self/fd")) - before
    for descriptor in opened:
        with contextlib.suppress(OSError):  # the one that listed them
            os.close(int(descriptor))
    assert len(opened) <= 130
    assert len(list(tmp_path.glob("*/empty"))) == 500


def test_filesystems_that_know_no_owners() -> None:
    mounts = [Mount(b"/boot/efi", (259, 1), "vfat"), Mount(b"/", (8, 2), "ext4")]
    assert ownerless_devices(mounts) == {os.makedev(259, 1)}


@needs_root
def test_owners_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    # Who is not root may not give files away: the same EPERM that a vfat answers.
    entry = Entry(b"grubx64.efi", "f", 0o755, 5, 5, 10**9)
    os.chown(tmp_path, 65534, 65534)
    device = tmp_path.stat().st_dev

    def as_nobody(ownerless: frozenset[int]) -> int:
        pid = os.fork()
        if not pid:
            try:
                target = Target(tmp_path, ownerless)
                os.setresuid(65534, 65534, 65534)
                target.make(entry)
                os._exit(0)
            except StepFailed as error:
                os._exit(7 if "cannot write 'grubx64.efi': Operation not" in str(error) else 8)
            finally:
                os._exit(9)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert as_nobody(frozenset()) == 7
    (tmp_path / "grubx64.efi").unlink()
    assert as_nobody(frozenset({device})) == 0
    assert (tmp_path / "grubx64.efi").stat().st_mtime_ns == 10**9
