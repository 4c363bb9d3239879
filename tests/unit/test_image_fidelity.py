# SPDX-License-Identifier: GPL-2.0-or-later
"""An image loses nothing: source and applied tree, compared by everything that can be said."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import comparing
from tests.applying import applied, captured
from tests.comparing import Description, compare, describe, differences
from tests.mounted import MKFS, mounted
from tests.trees import (
    LIMITS,
    Limits,
    acl,
    many_links,
    nasty_system,
    needs_root,
    scratch,
    small_system,
)

from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.publish import Published

pytestmark = needs_root


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    root = place / "source"
    root.mkdir()
    nasty_system(root)
    return root


@pytest.fixture(scope="module")
def described(source: Path) -> Description:
    return describe(source)


@pytest.fixture(scope="module")
def image(place: Path, source: Path) -> Published:
    return captured(source, place)


@pytest.mark.parametrize("kind", MKFS)
async def test_nothing_is_lost_on_any_filesystem(tmp_path: Path, kind: str) -> None:
    with mounted(kind, tmp_path) as source, mounted(kind, tmp_path) as target:
        nasty_system(source, LIMITS[kind])
        image = captured(source, tmp_path)
        await applied(image.directory, image.manifest, target)
        assert differences(source, target) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nothing_is_lost_in_any_order(
    place: Path, described: Description, image: Published, seed: int
) -> None:
    target = place / f"target{seed}"
    target.mkdir()
    await applied(image.directory, image.manifest, target, seed)
    assert compare(described, describe(target)) == []


def test_a_socket_is_no_loss_but_is_listed(image: Published) -> None:
    (line,) = image.manifest.left_out
    assert line.startswith("'dev/log': a socket")


def test_gnu_tar_gives_back_the_same(place: Path, described: Description, image: Published) -> None:
    target = place / "by-tar"
    target.mkdir()
    command: list[str | Path] = [
        "tar",
        "--zstd",
        "-xpf",
        image.directory / PAYLOAD_FILE,
        "-C",
        target,
        "--acls",
    ]
    command += ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp"]
    ran = subprocess.run(
        command, capture_output=True, env={**os.environ, "LC_ALL": "C"}, check=False
    )
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
    assert compare(described, describe(target)) == []


def test_the_same_image_from_any_filesystem(tmp_path: Path, place: Path) -> None:
    """What a filesystem shows of its own inside is no part of a tree."""
    limits = Limits(
        target=min(limits.target for limits in LIMITS.values()),
        attribute=min(limits.attribute for limits in LIMITS.values()),
        minor=min(limits.minor for limits in LIMITS.values()),
    )
    made = place / "common"
    made.mkdir()
    nasty_system(made, limits)
    hashes = {captured(made, tmp_path).manifest.infohash}
    for kind in MKFS:
        with mounted(kind, tmp_path) as copy:
            subprocess.run(["cp", "-a", "-T", made, copy], check=True)
            folder = tmp_path / kind
            folder.mkdir()
            hashes.add(captured(copy, folder).manifest.infohash)
    assert len(hashes) == 1


def test_times_that_ext4_does_not_hold_are_said(tmp_path: Path) -> None:
    with mounted("btrfs", tmp_path) as source:
        small_system(source)
        for name, seconds in (("a", -(2**31)), ("b", -(2**31) - 1), ("c", 2**34 - 2**31)):
            (source / name).touch()
            os.utime(source / name, ns=(0, seconds * 10**9))
        warnings = captured(source, tmp_path).manifest.warnings
    (said,) = (line for line in warnings if "1901" in line)
    assert said.endswith("takes the nearest that it has: 2, the first is that of 'b'")


async def test_a_hundred_thousand_hard_links(tmp_path: Path) -> None:
    """Groups of any size: the first is near the most that ext4 takes of one file, 65,000."""
    groups = (60_000, 20_000, *(100 for _ in range(150)), *(2 for _ in range(2_500)))
    assert sum(groups) == 100_000
    with mounted("ext4", tmp_path) as source, mounted("ext4", tmp_path) as target:
        many_links(source, groups)
        image = captured(source, tmp_path)
        await applied(image.directory, image.manifest, target)
        assert differences(source, target) == []


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def fill_hole(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(bytes(4096))


def overwrite(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def make_device(path: Path) -> None:
    path.unlink()
    os.mknod(path, 0o020666, os.makedev(1, 5))


def make_own_copy(path: Path) -> None:
    data, before = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@dataclass
class Spoilable:
    """A tree that each test changes, `described` as the one before has left it."""

    root: Path
    described: Description


@pytest.mark.parametrize(
    ("name", "change", "seen"),
    [
        ("bin/all", lambda path: path.chmod(0o6777), "mode"),
        ("tmp", lambda path: path.chmod(0o0777), "mode"),
        ("bin/none", lambda path: os.chown(path, 1, 3), "owner"),
        ("links/symlink1", lambda path: os.lchown(path, 12, 35), "owner"),
        ("times/5", lambda path: os.utime(path, ns=(0, 123456788)), "mtime"),
        ("dev/fifo", lambda path: os.utime(path, ns=(0, 0)), "mtime"),
        ("", lambda path: os.utime(path, ns=(0, 0)), "mtime"),
        ("data/over frames", append, "size"),
        ("data/over frames", overwrite, "data"),
        ("data/sparse 1 TiB", fill_hole, "extents"),
        ("links/symlink4", replace_link, "target"),
        ("dev/null", make_device, "device"),
        ("links/to over frames", make_own_copy, "same file as"),
        (
            "attributes/file",
            lambda path: os.setxattr(path, "user.plain", b"valuf"),
            "xattr b'user.plain'",
        ),
        (
            "attributes/file",
            lambda path: os.removexattr(path, "user.empty"),
            "xattr b'user.empty'",
        ),
        (
            "attributes/ping",
            lambda path: os.removexattr(path, "security.capability"),
            "xattr b'security.capability'",
        ),
        (
            "attributes/directory",
            lambda path: os.removexattr(path, "system.posix_acl_default"),
            "xattr b'system.posix_acl_default'",
        ),
        (
            "attributes/directory/inside",
            lambda path: os.setxattr(path, "system.posix_acl_access", acl()),
            "xattr b'system.posix_acl_access'",
        ),
        (
            "attributes/symlink",
            lambda path: os.setxattr(path, "trusted.more", b"", follow_symlinks=False),
            "xattr b'trusted.more'",
        ),
    ],
)
def test_every_change_is_seen(
    spoilable: Spoilable, name: str, change: Callable[[Path], object], seen: str
) -> None:
    before = spoilable.described
    change(spoilable.root / name)
    spoilable.described = describe(spoilable.root)
    path = b"/" * bool(name) + os.fsencode(name)
    found = compare(before, spoilable.described)
    assert any(line.startswith(f"{path!r}: {seen} is ") for line in found), found


@pytest.fixture(scope="module")
def spoilable(place: Path) -> Spoilable:
    root = place / "spoilable"
    root.mkdir()
    nasty_system(root)
    return Spoilable(root, describe(root))


def test_what_is_missing_and_too_much_is_seen(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, ns=(0, 0))
    (tmp_path / "one/a\nb").touch()
    (tmp_path / "two/dir").mkdir()
    for name in ("one", "two"):
        os.utime(tmp_path / name, ns=(0, 0))
    found = differences(tmp_path / "one", tmp_path / "two")
    assert found == [r"missing: b'/a\nb'", "too much: b'/dir'"]


def test_a_tree_is_compared_with_a_description(
    source: Path, described: Description, tmp_path: Path
) -> None:
    command: list[str | Path] = [sys.executable, "-I", "-S", comparing.__file__, source]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert comparing.read(text) == described
    kept = tmp_path / "description"
    kept.write_text(text)
    subprocess.run([*command, kept], check=True)
    kept.write_text(text.replace("b'/times/1'\tmtime\t1\n", "b'/times/1'\tmtime\t2\n"))
    ran = subprocess.run([*command, kept], stdout=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "b'/times/1': mtime is 1, not 2\n")
