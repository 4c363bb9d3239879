# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree in use becomes another version of its image, whatever it was before and whenever it is
interrupted: it ends as the tree that the image was captured from.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.applying import applied, captured
from tests.comparing import Description, compare, describe
from tests.mounted import mounted
from tests.trees import acl, nasty_system, needs_root, scratch
from tests.updates import updated

from swarmstrap.effects.run import run
from swarmstrap.errors import Refused, StepFailed
from swarmstrap_server.images.publish import Published

pytestmark = needs_root
MIB = 1 << 20


@dataclass(frozen=True)
class Versions:
    """`source` is as in `new`, and `described`."""

    source: Path
    described: Description
    old: Published
    new: Published


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture(scope="module")
def versions(place: Path) -> Versions:
    source = place / "source"
    for folder in ("one", "two"):
        (place / folder).mkdir()
    nasty_system(source)
    extras(source)
    old = captured(source, place / "one")
    change(source)
    return Versions(source, describe(source), old, captured(source, place / "two"))


def extras(root: Path) -> None:
    """What will have become something else."""
    (root / "usr").mkdir()
    noise = random.Random(11)
    for name in (
        "file-to-tree",
        "file-to-link",
        "goes",
        "grows",
        "touched",
        "rewritten",
        "shrinks",
    ):
        (root / "usr" / name).write_bytes(noise.randbytes(50_000))
    for name in ("tree-to-file", "tree-to-link", "tree-goes", "a/b/c"):
        (root / "usr" / name).mkdir(parents=True)
        (root / "usr" / name / "inside").write_text(name)
        os.symlink("inside", root / "usr" / name / "link")
    os.symlink("tree-goes", root / "usr/link-to-tree")
    os.symlink("here", root / "usr/link")
    os.mkfifo(root / "usr/fifo-to-file")
    (root / "usr/empty").touch()
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "usr/vmlinuz").write_bytes(noise.randbytes(30 * MIB))
    (root / "usr/patched").write_bytes(noise.randbytes(40 * MIB))
    for name in ("one", "two", "three"):
        os.link(root / "usr/touched", root / "usr" / f"touched-{name}")
        os.link(root / "usr/goes", root / "usr" / f"stays-{name}")


def change(root: Path) -> None:
    noise = random.Random(12)
    usr = root / "usr"
    for path in (usr / "goes", usr / "file-to-tree", usr / "file-to-link", usr / "fifo-to-file"):
        path.unlink()
    for path in (usr / "tree-to-file", usr / "tree-to-link", usr / "tree-goes"):
        shutil.rmtree(path)
    (usr / "file-to-tree/deep").mkdir(parents=True)
    (usr / "file-to-tree/deep/file").write_text("new")
    os.symlink("grows", usr / "file-to-link")
    (usr / "tree-to-file").write_text("a file")
    os.symlink("a", usr / "tree-to-link")
    (usr / "link-to-tree").unlink()
    (usr / "link-to-tree").mkdir()
    (usr / "link-to-tree/file").write_text("not through the link")
    (usr / "link").unlink()
    os.symlink("there", usr / "link")
    (usr / "fifo-to-file").write_text("no fifo")
    (usr / "empty").write_text("not empty")
    (usr / "grows").write_bytes(noise.randbytes(20 * MIB))
    os.utime(usr / "touched", ns=(5, 5))
    (usr / "rewritten").write_bytes(noise.randbytes(50_000))
    (usr / "shrinks").write_bytes(b"little")
    (usr / "vmlinuz").write_bytes(noise.randbytes(30 * MIB + 7))
    with (usr / "patched").open("r+b") as file:
        file.seek(17 * MIB)
        file.write(noise.randbytes(5000))
    (usr / "touched-two").unlink()
    (usr / "touched-two").write_text("alone")
    os.link(usr / "shrinks", usr / "a/shrinks too")
    shutil.copyfile(usr / "stays-two", usr / "copy")
    (usr / "stays-two").unlink()
    (usr / "copy").rename(usr / "stays-two")
    metadata(root)


def metadata(root: Path) -> None:
    os.chmod(root / "bin/setuid", 0o755)
    os.chown(root / "bin/setgid", 7, 8)
    os.removexattr(root / "attributes/file", "user.plain")
    os.setxattr(root / "attributes/file", "user.other", b"new")
    os.removexattr(root / "attributes/file", "system.posix_acl_access")
    os.setxattr(root / "bin/open", "system.posix_acl_access", acl())
    os.removexattr(root / "attributes/directory", "system.posix_acl_access")
    (root / "attributes/directory/under a default ACL").write_text("but without one")
    os.removexattr(root / "attributes/directory/under a default ACL", "system.posix_acl_access")
    (root / "attributes/directory/below").mkdir()
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        os.removexattr(root / "attributes/directory/below", name)
    os.mknod(root / "bin/new device", 0o020644, os.makedev(7, 7))
    (root / "names/empty directory").rmdir()
    with open(root / "data/sparse 1 TiB", "r+b") as file:
        os.pwrite(file.fileno(), b"z" * 4096, 1 << 30)


async def deployed(image: Published, place: Path, name: str) -> Path:
    root = place / name
    root.mkdir()
    await applied(image.directory, image.manifest, root)
    return root


async def test_it_ends_as_a_fresh_deployment(versions: Versions, place: Path) -> None:
    root = await deployed(versions.old, place, "updated")
    changes, told = await updated(root, versions.new.directory)
    assert compare(versions.described, describe(root)) == []
    assert told == [changes.summary()]
    assert changes.fetch < versions.new.manifest.payload.size / 1.3
    again, told = await updated(root, versions.new.directory)
    assert (again.added, again.changed, again.metadata, again.removed) == ((), (), (), ())
    assert told == [again.summary()]


async def test_only_what_differs_is_fetched(versions: Versions, place: Path) -> None:
    root = await deployed(versions.old, place, "sparing")
    for name in ("touched", "patched", "vmlinuz"):
        os.utime(root / "usr" / name, ns=(1, 1))
    changes, _ = await updated(root, versions.old.directory)
    # One file with all of its names, and two of several frames: other times, the same data.
    assert (changes.fetch, changes.added, changes.removed) == (0, (), ())
    assert changes.metadata == ("'usr/patched'", "'usr/touched'", "'usr/vmlinuz'")
    with (root / "usr/patched").open("r+b") as file:
        file.seek(17 * MIB)
        file.write(b"other")
    changes, _ = await updated(root, versions.old.directory)
    assert changes.changed == ("'usr/patched'",)
    assert 7 * MIB < changes.fetch < 9 * MIB
    fresh = await deployed(versions.old, place, "fresh")
    assert compare(describe(fresh), describe(root)) == []


async def test_changes_that_times_do_not_tell(versions: Versions, place: Path) -> None:
    root = await deployed(versions.new, place, "rotten")
    for path in (root / "usr/rewritten", root / "data/sparse over frames"):
        status = path.stat()
        with path.open("r+b") as file:
            file.seek(2 * MIB if status.st_size > 2 * MIB else 5)
            file.write(b"rot")
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    changes, _ = await updated(root, versions.new.directory)
    assert changes.changed == ()
    changes, _ = await updated(root, versions.new.directory, checksum=True)
    assert changes.changed == ("'data/sparse over frames'", "'usr/rewritten'")
    assert compare(versions.described, describe(root)) == []


def killed(root: Path, image: Published, seconds: float) -> bool:
    """Begin an update, and kill it so long after it begins to change things; false when it was
    through by then.
    """
    command = [sys.executable, "-m", "tests.updates", str(root), str(image.directory)]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() in (b"begun\n", b"")
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(seconds) == 0
            return False
        os.killpg(process.pid, signal.SIGKILL)
    return True


async def test_interrupted_at_any_moment_and_begun_again(versions: Versions, place: Path) -> None:
    """To the new version and back, killed a few times on the way."""
    root = await deployed(versions.old, place, "interrupted")
    old = describe(root)
    moment = random.Random()
    ways = ((versions.new, versions.described), (versions.old, old))
    kills = 0
    for image, expected in ways * 4:
        kills += sum(killed(root, image, moment.uniform(0, 0.25)) for _ in range(3))
        await updated(root, image.directory)
        assert compare(expected, describe(root)) == []
    assert kills > 3


async def test_what_is_preserved_stays(versions: Versions, place: Path) -> None:
    root = await deployed(versions.old, place, "preserving")
    local = ("usr/grows", "var/lib/service/data", "usr/opt/inside/deep", "var/log/boot.log")
    for name in (*local, "usr/not-preserved", "var/lib/dpkg/info/other.list"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("local")
    changes, _ = await updated(root, versions.new.directory, "/usr/opt", "/usr/gr*")
    assert all((root / name).read_text() == "local" for name in local)
    assert not (root / "usr/not-preserved").exists()
    assert os.listdir(root / "var/lib/dpkg/info") == []
    assert (root / "usr/patched").read_bytes() == (versions.source / "usr/patched").read_bytes()
    assert "'usr/not-preserved'" in changes.removed


async def test_what_else_is_mounted_stays(versions: Versions, place: Path) -> None:
    root = await deployed(versions.old, place, "mounted")
    disk, bound = root / "usr/tree-to-file", root / "usr/rewritten"
    before = bound.read_bytes()
    run(["mount", "-t", "tmpfs", "tmpfs", disk], timeout=30)
    run(["mount", "--bind", bound, bound], timeout=30)
    try:
        (disk / "data").write_text("of another filesystem")
        changes, _ = await updated(root, versions.new.directory)
        assert (disk / "data").read_text() == "of another filesystem"
        assert bound.read_bytes() == before
    finally:
        run(["umount", disk, bound], timeout=30)
    assert "'usr/tree-to-file'" not in (*changes.changed, *changes.removed)
    await updated(root, versions.new.directory)
    assert compare(versions.described, describe(root)) == []


async def test_a_place_that_must_become_a_file_and_be_preserved(
    versions: Versions, place: Path
) -> None:
    root = await deployed(versions.old, place, "contradiction")
    (root / "usr/tree-to-file/data").write_text("local")
    with pytest.raises(Refused, match="'usr/tree-to-file' is no directory in the image"):
        await updated(root, versions.new.directory, "/usr/tree-to-file/data")
    assert (root / "usr/tree-to-file/data").read_text() == "local"
    assert (root / "usr/goes").exists()


async def test_a_full_disk_is_told_before_anything_changes(
    versions: Versions, tmp_path: Path
) -> None:
    with mounted("ext4", tmp_path, 600 * MIB) as root:
        await applied(versions.old.directory, versions.old.manifest, root)
        with (root / "var-lib-data").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(root).f_bavail * 4096 - 100 * MIB)
        with pytest.raises(StepFailed, match="free, and the update needs"):
            await updated(root, versions.new.directory)
        assert (root / "usr/goes").exists()
        assert not (root / "usr/copy").exists()
