# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is captured over ssh: a real server, real rsync, a real btrfs."""

import contextlib
import itertools
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.comparing import differences
from tests.disk.sshd import Server, sshd
from tests.trees import nasty_system, needs_root, scratch, small_system

from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap.mountinfo import Mount
from swarmstrap_server.cli import main
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.remote.copying import Copy, Progress
from swarmstrap_server.images.remote.host import Access, Remote
from swarmstrap_server.images.remote.survey import Survey
from swarmstrap_server.images.remote.views import Live, Part, Views
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.ssh import mirrored
from swarmstrap_server.images.walk import Walk

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
    # rsync reads every hole, this one for an hour.
    for name in ("data/sparse 1 TiB", "links/to sparse"):
        (source / name).unlink()
    os.truncate(source / "data/only a hole", 160 << 20)
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


def test_the_command(
    place: Path, server: Server, system: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(system, "data/large", "tmp/file", "usr/file")
    site = place / "site"
    Key.generate(place / "publisher")
    words = ["--site", site, "capture", server.location(system), "web:1", "--strip", "/data"]
    words += ["--key", place / "publisher", "--keep", "temporary", "--live"]
    words += ["--identity", server.access.identity, "--known-hosts", server.known_hosts]
    assert main([str(word) for word in words]) == 0
    assert "web:1: " in capsys.readouterr().out
    assert ImageStore(site / "images").get("web", "1").manifest.kind == "tree"
    mirror = tree_of(site / "state/mirrors")
    assert sorted(os.listdir(mirror)) == ["bin", "etc", "tmp", "usr"]
    assert (mirror / "tmp/file").exists()
    assert stat.S_IMODE(mirror.parent.stat().st_mode) == 0o700


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
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            program, _, rest = status.read_text().partition(" (")[2].rpartition(") ")
            if program == name and int(rest.split()[1]) == os.getpid():
                found.append(int(status.parent.name))
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
    assert mirror.warnings == [
        "/ was read while it is in use: that was asked for; changed meanwhile: 'busy'"
    ]


@contextlib.contextmanager
def mounted(place: Path, kind: str, point: Path) -> Iterator[None]:
    """A new filesystem at `point`, in a file below `place`."""
    point.mkdir(parents=True, exist_ok=True)
    disk = place / f"disk-{kind}"
    disk.touch()
    os.truncate(disk, 256 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, point], check=True)
    try:
        yield
    finally:
        # Who was killed while it read may take a moment to end.
        subprocess.run(["umount", "--lazy", point], check=True)


@contextlib.contextmanager
def memory(point: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


def test_filesystems_of_one_system(place: Path, server: Server) -> None:
    system, mirrors = place / "a system", place / "mirrors"

    def check() -> None:
        views = {}

        def note(so_far: Progress) -> None:
            views[so_far.place] = str(so_far.view)

        with mirrored(server.location(system), mirrors, server.access, progress=note) as mirror:
            found = {os.fsdecode(entry.path) for entry in Walk(mirror, ())}
        assert found >= {"etc/passwd", "boot", "boot/vmlinuz", "srv/guest"}
        assert not found & {"boot/hidden", "srv/guest/hidden", "srv/guest/file"}
        assert views == {
            "/": "from a btrfs snapshot",
            "/boot": "while it is in use: ext4 on no logical volume has no snapshots",
        }
        guest = mirror.look(b"srv/guest")
        assert guest is not None
        assert guest.left_out == "what is mounted there (tmpfs), not a filesystem of a disk"
        assert mirror.warnings == []

    with mounted(place, "btrfs", system):
        files(system, "etc/passwd", "boot/hidden", "srv/guest/hidden")
        with mounted(place, "ext4", system / "boot"), memory(system / "srv/guest"):
            files(system, "boot/vmlinuz", "srv/guest/file")
            check()
            check()


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_a_btrfs_is_read_from_a_snapshot(place: Path, server: Server) -> None:
    point = place / "a point"
    seen: list[str] = []

    def change(_: Progress) -> None:
        (point / "system/bin/sh").write_text("changed")
        seen.extend(os.listdir(point))

    with mounted(place, "btrfs", point):
        small_system(point / "system")
        subprocess.run(["btrfs", "-q", "subvolume", "create", point / "system/inner"], check=True)
        files(point, "system/inner/file")
        size, modified = (point / "system/bin/sh").stat().st_size, point.stat().st_mtime_ns
        with mirrored(
            server.location(point / "system"), place / "mirrors", server.access, progress=change
        ) as mirror:
            found = {entry.path: entry.size for entry in Walk(mirror, ())}
        assert found[b"bin/sh"] == size
        assert b"inner" in found
        assert b"inner/file" not in found
        assert any(name.startswith(".swarmstrap-") for name in seen)
        # Nothing of it is left, and no trace of it for the next capture.
        assert os.listdir(point) == ["system"]
        assert point.stat().st_mtime_ns == modified
        assert list(Path("/run").glob("swarmstrap-*")) == []


def test_a_snapshot_does_not_outlive_who_took_it(place: Path, server: Server) -> None:
    point = place / "point"

    def die(_: Progress) -> None:
        if any(name.startswith(".swarmstrap-") for name in os.listdir(point)):
            os.kill(os.getpid(), signal.SIGKILL)

    with mounted(place, "btrfs", point):
        small_system(point)
        pid = os.fork()
        if not pid:
            try:
                location = server.location(point)
                with mirrored(location, place / "mirrors", server.access, progress=die):
                    pass
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        deadline = time.monotonic() + 60
        while any(name.startswith(".swarmstrap-") for name in os.listdir(point)):
            assert time.monotonic() < deadline, "the snapshot is still there after 60 s"
            time.sleep(0.05)


def test_no_symlink_leads_a_filesystem_out(place: Path, server: Server, system: Path) -> None:
    (place / "outside").mkdir()
    files(place, "outside/precious")
    (system / "boot").symlink_to(place / "outside")
    (place / "mirror").mkdir()
    root, boot = Mount(bytes(system), (8, 1), "ext4"), Mount(bytes(system / "bin"), (8, 2), "ext4")
    views = Views(bytes(system), (Part(root, Live(""), b"/"), Part(boot, Live(""), b"/boot")))
    remote = Remote(server.location(system), server.access)
    survey = Survey(bytes(system), "", False, False, [], [])
    copy = Copy(remote, survey, views, place / "mirror/tree", lambda _: None)
    with pytest.raises(CaptureFailed, match="at /boot, which is no directory of another one"):
        copy.run(())
    assert (place / "outside/precious").exists()


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
