# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is captured over ssh: a real server, real rsync, a real btrfs."""

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.comparing import differences
from tests.disk.sshd import Server, sshd
from tests.trees import nasty_system, needs_root, scratch, small_system

from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.remote.copying import Progress
from swarmstrap_server.images.remote.host import Access
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.ssh import mirrored

pytestmark = needs_root


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    (place / "ssh").mkdir()
    with sshd(place / "ssh") as server:
        yield server


@pytest.fixture
def system(place: Path) -> Path:
    small_system(place / "system")
    return place / "system"


def tree_of(mirrors: Path) -> Path:
    (tree,) = mirrors.glob("*/tree")
    return tree


def test_the_same_image_as_of_the_directory(place: Path, server: Server) -> None:
    source = place / "a [n]asty* 'sy\\stem\""
    nasty_system(source)
    for name in ("data/sparse 1 TiB", "links/to sparse"):
        (source / name).unlink()  # rsync would read its hole for an hour
    key, store = Key.generate(place / "publisher"), ImageStore(place / "images")
    directly = publish(Directory(source), "system", "1", store, key, level=1)
    seen: list[Progress] = []
    with mirrored(
        server.location(source), place / "mirrors", server.access, progress=seen.append
    ) as mirror:
        over_ssh = publish(mirror, "system", "2", store, key, level=1)
    assert over_ssh.manifest.payload == directly.manifest.payload
    assert over_ssh.manifest.index == directly.manifest.index
    # A rule takes it away anyway.
    assert differences(source, tree_of(place / "mirrors")) == ["missing: b'/tmp/inside'"]
    assert seen[0].place == "/"
    assert seen[-1].percent > 90  # hard links count, and are not copied


def test_the_second_time_moves_what_changed(place: Path, server: Server, system: Path) -> None:
    (system / "old").write_bytes(os.urandom(1 << 20))
    location, mirrors = server.location(system), place / "mirrors"
    with mirrored(location, mirrors, server.access):
        pass
    (system / "old").unlink()
    (system / "new").write_text("new")
    read = []
    with mirrored(
        location,
        mirrors,
        server.access,
        keep=False,
        progress=lambda so_far: read.append(so_far.read),
    ):
        assert differences(system, tree_of(mirrors)) == []
    assert max(read) < 1000
    assert list(mirrors.iterdir()) == []


def test_goes_on_where_it_was_killed(place: Path, server: Server, system: Path) -> None:
    total = 0
    for number in range(50):
        (system / f"file{number}").write_bytes(os.urandom(1 << 20))
        total += 1 << 20
    location, mirrors = server.location(system), place / "mirrors"

    def kill(so_far: Progress) -> None:
        if so_far.read > total // 3:
            for process in children("rsync"):
                os.kill(process, signal.SIGKILL)

    with (
        pytest.raises(SwarmstrapError, match=r"cannot copy from 127\.0\.0\.1"),
        mirrored(location, mirrors, server.access, progress=kill),
    ):
        pass
    read = []
    with mirrored(
        location, mirrors, server.access, progress=lambda so_far: read.append(so_far.read)
    ):
        assert differences(system, tree_of(mirrors)) == []
    assert 0 < max(read) < total * 3 // 4


def children(name: str) -> list[int]:
    """Processes of ours that run the program `name`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            program, _, rest = stat.read_text().partition(" (")[2].rpartition(") ")
            if program == name and int(rest.split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def test_what_changes_meanwhile_is_named(place: Path, server: Server, system: Path) -> None:
    busy = system / "busy"
    busy.write_text("0")
    counter = itertools.count()

    def write(_: Progress) -> None:
        busy.write_text("x" * next(counter))

    with mirrored(
        server.location(system), place / "mirrors", server.access, live=True, progress=write
    ) as mirror:
        pass
    assert mirror.warnings == ["changed while / was read: 'busy'"]
    assert mirror.notes == ["/: read while it is in use: that was asked for"]


def test_a_btrfs_is_read_from_a_snapshot(place: Path, server: Server) -> None:
    (place / "disk").touch()
    os.truncate(place / "disk", 256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", place / "disk"], check=True)
    point = place / "a point"
    point.mkdir()
    subprocess.run(["mount", "-o", "loop", place / "disk", point], check=True)
    try:
        small_system(point / "system")
        subprocess.run(["btrfs", "-q", "subvolume", "create", point / "system/inner"], check=True)
        (point / "system/inner/file").touch()
        size, before = (point / "system/bin/sh").stat().st_size, point.stat().st_mtime_ns
        seen: list[str] = []

        def change(_: Progress) -> None:
            (point / "system/bin/sh").write_text("changed")
            seen.extend(path.name for path in point.iterdir())

        with mirrored(
            server.location(point / "system"), place / "mirrors", server.access, progress=change
        ) as mirror:
            sh, inner = mirror.look(b"bin/sh"), mirror.look(b"inner")
        assert mirror.notes == ["/: read from a btrfs snapshot"]
        assert sh is not None
        assert inner is not None
        assert sh.entry is not None
        assert sh.entry.size == size
        assert inner.left_out == "a subvolume of its own, mounted nowhere"
        assert any(name.startswith(".swarmstrap-") for name in seen)
        assert [path.name for path in point.iterdir()] == ["system"]
        assert list(Path("/run").glob("swarmstrap-*")) == []
        assert point.stat().st_mtime_ns == before
    finally:
        subprocess.run(["umount", point], check=True)


def test_an_unknown_host_key(place: Path, server: Server, system: Path) -> None:
    server.known_hosts.write_text("")
    with (
        pytest.raises(
            Untrusted, match=r"host key of 127\.0\.0\.1 is not known: it shows ssh-ed25519 S"
        ),
        mirrored(server.location(system), place / "mirrors", server.access),
    ):
        pass


def test_a_changed_host_key(place: Path, server: Server, system: Path) -> None:
    server.new_key("other")
    server.know("other")
    with (
        pytest.raises(
            Untrusted, match=r"is not the known one \(.*/known hosts:1\): it shows ssh-ed"
        ),
        mirrored(server.location(system), place / "mirrors", server.access),
    ):
        pass
    assert not (place / "mirrors").exists()


def test_a_user_whom_nobody_knows(place: Path, server: Server, system: Path) -> None:
    server.new_key("stranger")
    access = Access(server.folder / "stranger", server.known_hosts)
    with (
        pytest.raises(Untrusted, match="lets nobody in with the keys that ssh tried"),
        mirrored(server.location(system), place / "mirrors", access),
    ):
        pass


def test_a_directory_that_is_not_there(place: Path, server: Server, system: Path) -> None:
    with (
        pytest.raises(BadInput, match=r"is no directory of 127\.0\.0\.1 that root can enter"),
        mirrored(server.location(system / "missing"), place / "mirrors", server.access),
    ):
        pass
