# SPDX-License-Identifier: GPL-2.0-or-later
"""What a capture keeps, leaves out and says; and that the same tree gives the same bytes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.trees import files, nasty_system, needs_root, scratch, small_system

from swarmstrap.errors import BadInput
from swarmstrap.index import Entry, Index, decode
from swarmstrap.manifest import INDEX_FILE
from swarmstrap_server.images import compress
from swarmstrap_server.images.framing import FRAME, Framer
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.directory import Directory, OpenFile
from swarmstrap_server.images.walk import Walk


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
def source(place: Path) -> Path:
    root = place / "source"
    small_system(root)
    return root


def walk(root: Path) -> Walk:
    return Walk(Directory(root))


def walked(root: Path) -> dict[bytes, int]:
    """Path and size of all that a capture would hold."""
    return {entry.path: entry.size for entry in walk(root)}


def index_of(published: Published) -> Index:
    return decode(compress.decompress((published.directory / INDEX_FILE).read_bytes()))


@needs_root
def test_same_tree_same_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    key = Key.generate(place / "publisher")
    (place / "one").mkdir()
    nasty_system(place / "one")
    subprocess.run(["cp", "-a", place / "one", place / "two"], check=True)
    images = [
        publish(
            Directory(place / tree), "same", "1", ImageStore(place / f"images-{tree}"), key, level=3
        )
        for tree in ("one", "two")
    ]
    for name in sorted(os.listdir(images[0].directory)):
        one, two = ((image.directory / name).read_bytes() for image in images)
        assert one == two, name


def test_versions_share_the_frames_away_from_a_change(place: Path, source: Path) -> None:
    for number in range(400):
        (source / f"file{number:03}").write_bytes(os.urandom(200_000))
    key, store = Key.generate(place / "publisher"), ImageStore(place / "images")
    before = index_of(publish(Directory(source), "system", "1", store, key, level=1))
    (source / "file200").write_bytes(b"another size and content")
    (source / "file200a").write_bytes(b"a new file")
    after = index_of(publish(Directory(source), "system", "2", store, key, level=1))
    old = {frame.sha256 for frame in before.frames}
    changed = [frame for frame in after.frames if frame.sha256 not in old]
    assert len(before.frames) >= 8
    # The one with the change; the root's, whose time changed; perhaps one until cuts meet again.
    assert 1 <= len(changed) <= 4


def test_frames_are_as_large_as_said(source: Path) -> None:
    for number in range(3000):
        (source / f"small{number}").write_bytes(bytes(number * 7))
    for number in range(8):
        (source / f"middle{number}").write_bytes(bytes(FRAME - number * 1_000_000))
    (source / "large").write_bytes(bytes(3 * FRAME + 1))
    sizes = [len(frame.data) for frame in Framer(walk(source))]
    assert max(sizes) <= FRAME * 3 // 2
    assert sum(sizes) / len(sizes) > FRAME / 2
    assert all(size % 512 == 0 for size in sizes[:-1])


@needs_root
def test_mounts_below_the_source_are_left_out(source: Path) -> None:
    files(source, "a b/hidden", "other/kept")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0711", "tmpfs", source / "a b"], check=True)
    try:
        files(source, "a b/mounted")
        taken = walk(source)
        paths = [entry.path for entry in taken]
    finally:
        subprocess.run(["umount", source / "a b"], check=True)
    assert b"a b" in paths
    assert b"other/kept" in paths
    assert not any(path.startswith(b"a b/") for path in paths)
    assert taken.left_out == ["'a b': what is mounted there (tmpfs)"]


@needs_root
def test_a_filesystem_of_the_same_system_is_crossed_into(source: Path) -> None:
    files(source, "boot/hidden")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "boot"], check=True)
    try:
        files(source, "boot/kernel")
        (source / "boot/efi").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "boot/efi"], check=True)
        files(source, "boot/efi/loader")
        both = [source / "boot", source / "boot/efi"]
        assert b"boot/efi/loader" in {entry.path for entry in Walk(Directory(source, both))}
        taken = Walk(Directory(source, both[:1]))
        assert b"boot/kernel" in {entry.path for entry in taken}
        assert taken.left_out == ["'boot/efi': what is mounted there (tmpfs)"]
        assert Directory(source, both).reaches(source / "boot/efi/images")
        assert not Directory(source, both[:1]).reaches(source / "boot/efi/images")
    finally:
        subprocess.run(["umount", "-R", source / "boot"], check=True)
    with pytest.raises(BadInput, match=r"nothing is mounted at .*boot"):
        Directory(source, both)
    with pytest.raises(BadInput, match=r"/proc is a filesystem of the kernel's \(proc\)"):
        Directory(Path("/"), [Path("/proc")])


@pytest.mark.parametrize("source", ["/proc", "/sys", "/proc/self", "/dev/null", "/missing"])
def test_not_a_system(source: str) -> None:
    with pytest.raises(BadInput, match=r"no directory|filesystem of the kernel's"):
        Directory(Path(source))


class Busy(Directory):
    """Somebody writes to the file `log` whenever it is opened, `times` times."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self.log = root / "log"
        self.times = times

    @contextmanager
    def open(self, entry: Entry) -> Iterator[OpenFile]:
        with super().open(entry) as data:
            if entry.path == b"log" and self.times:
                self.times -= 1
                with self.log.open("a") as log:
                    log.write("more")
            yield data


def test_a_file_that_changes_is_read_again(source: Path) -> None:
    files(source, "log")
    framer = Framer(Walk(Busy(source, 3)))
    data = b"".join(frame.data for frame in framer)
    assert b"logmoremoremore" in data
    assert {entry.path: entry.size for entry in framer.entries}[b"log"] == 15


def test_a_file_that_does_not_stop_to_change_is_an_error(source: Path) -> None:
    files(source, "log")
    with pytest.raises(CaptureFailed, match="'log' changed while it was captured"):
        list(Framer(Walk(Busy(source, 99))))


def test_a_large_file_that_changes_is_an_error(source: Path) -> None:
    (source / "log").write_bytes(bytes(FRAME + 1))
    with pytest.raises(CaptureFailed, match="'log' changed while it was captured"):
        list(Framer(Walk(Busy(source, 1))))


def test_a_file_that_goes_away(source: Path) -> None:
    files(source, "a", "b", "c")
    os.link(source / "b", source / "d")

    class Leaving(Directory):
        @contextmanager
        def open(self, entry: Entry) -> Iterator[OpenFile]:
            if entry.path == b"b":
                (source / "b").unlink()
            with super().open(entry) as data:
                yield data

    framer = Framer(Walk(Leaving(source)))
    list(framer)
    kinds = {entry.path: entry.kind for entry in framer.entries}
    assert b"b" not in kinds
    assert kinds[b"d"] == "f"
    assert framer.warnings == ["'b' went away while it was captured"]


def test_a_directory_that_turns_into_a_file(source: Path) -> None:
    files(source, "dir/a/b", "dir/c")

    class Turning(Directory):
        @contextmanager
        def open(self, entry: Entry) -> Iterator[OpenFile]:
            if entry.path == b"dir/a/b":
                shutil.rmtree(source / "dir")
                (source / "dir").write_text("file")
            with super().open(entry) as data:
                yield data

    framer = Framer(Walk(Turning(source)))
    list(framer)
    assert {b"dir", b"dir/a"} <= {entry.path for entry in framer.entries}
    assert framer.warnings == ["'dir/a/b' went away while it was captured"]
