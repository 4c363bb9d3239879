# SPDX-License-Identifier: GPL-2.0-or-later
"""What is taken of a disk image, and what is said of it; on real filesystems, so as root."""

import os
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.disk import windowslike
from tests.disk.conftest import Attach, unmount
from tests.disk.windowslike import DELETED

from swarmstrap.errors import SwarmstrapError
from swarmstrap.extents import gaps, merged, total
from swarmstrap.index import ROOT
from swarmstrap.manifest import DISK_FILE
from swarmstrap.units import MiB
from swarmstrap_server.images.framing import read
from swarmstrap_server.images.sources import holes
from swarmstrap_server.images.sources.blocks import parse_domain
from swarmstrap_server.images.sources.disk import Disk, disk_image
from swarmstrap_server.images.sources.rawdisk import looks_like_disk

Sparse = Callable[[int], Path]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")


def call(*command: str | Path, text: str = "") -> None:
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def content(source: Disk) -> tuple[dict[int, bytes], bytes]:
    """The extents by their place, and all of it."""
    found = source.look(DISK_FILE)
    assert found is not None
    assert found.entry is not None
    with source.open(found.entry) as data:
        parts = {start: read(data, ((start, size),)) for start, size in data.extents}
        assert not data.changed()
    whole = bytearray(found.entry.size)
    for start, part in parts.items():
        whole[start : start + len(part)] = part
    return parts, bytes(whole)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    windowslike.make(folder / "disk.raw", folder)
    return folder / "disk.raw"


def test_a_windows_like_disk(windows: Path, tmp_path: Path) -> None:
    with disk_image(windows, tmp_path) as (source, about):
        assert source.warnings == []
        assert source.names(ROOT) == [DISK_FILE]
        parts, whole = content(source)
    original = windows.read_bytes()
    assert about.kind == "disk"
    assert about.architecture == "x86_64"
    facts = about.disk
    assert facts is not None
    assert (facts.size, facts.logical_sector, facts.table) == (windowslike.SIZE, 512, "gpt")
    assert [(p.number, p.name, p.filesystem, p.label, p.used) for p in facts.partitions] == [
        (1, "EFI", "vfat", "ESP", "partclone.fat"),
        (2, "MSR", "", "", "all blocks"),
        (3, "Basic", "ntfs", "Windows", "partclone.ntfs"),
    ]
    assert DELETED in original
    assert DELETED not in whole
    for start, part in parts.items():
        assert original[start : start + len(part)] == part
    # What is left out is zeros in the original, or nothing's.
    for start, size in gaps(merged(facts.unused), windowslike.SIZE):
        assert whole[start : start + size] == original[start : start + size]
    assert whole != original


def test_all_blocks_bring_everything(windows: Path, tmp_path: Path) -> None:
    with disk_image(windows, tmp_path, all_blocks=True, architecture="aarch64") as (source, about):
        _, whole = content(source)
    assert about.architecture == "aarch64"
    assert about.disk is not None
    assert about.disk.unused == ()
    assert whole == windows.read_bytes()


def test_holes_that_are_one_too_many_are_zeros_not_what_was_there(
    windows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk_image(windows, tmp_path) as (source, _):
        fine = content(source)
        monkeypatch.setattr(holes, "MAX_EXTENTS", len(fine[0]) // 2)
        coarse = content(source)
    assert len(coarse[0]) <= len(fine[0]) // 2
    assert coarse[1] == fine[1]


@pytest.mark.parametrize(
    "options",
    [["-O", "qcow2"], ["-c", "-O", "qcow2"], ["-O", "vmdk"], ["-O", "vdi"]],
    ids=["qcow2", "compressed", "vmdk", "vdi"],
)
def test_other_formats_hold_the_same(windows: Path, tmp_path: Path, options: list[str]) -> None:
    image = tmp_path / "image"
    call("qemu-img", "convert", "-f", "raw", *options, windows, image)
    with disk_image(image, tmp_path) as (source, about):
        converted = content(source), about
    with disk_image(windows, tmp_path) as (source, about):
        assert converted == (content(source), about)
    assert os.listdir(tmp_path) == ["image"]


def test_a_backing_file_is_read_and_named(windows: Path, tmp_path: Path) -> None:
    image = tmp_path / "overlay.qcow2"
    call("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", windows, image)
    call("qemu-io", "-f", "qcow2", "-c", "write -P 65 66M 1M", image)
    with disk_image(image, tmp_path) as (source, _):
        assert source.warnings == [f"{image} builds on {windows}, which was read as well"]
        parts, _ = content(source)
    assert parts[66 * MiB] == b"A" * MiB


def filesystem(path: Path, mkfs: Sequence[str], attach: Attach, folder: Path) -> bytes:
    """A filesystem of this kind on all of `path`, with a file in it and one deleted."""
    kept = random.Random(3).randbytes(3 * MiB)
    call(*mkfs, path)
    folder.mkdir()
    node = attach(path, 512)
    call("mount", node, folder)
    try:
        (folder / "deleted").write_bytes(DELETED * (6 * MiB // len(DELETED)))
        (folder / "kept").write_bytes(kept)
        os.sync()
        (folder / "deleted").unlink()
    finally:
        unmount(folder, node)
    return kept


@pytest.mark.parametrize(
    ("mkfs", "tool", "size"),
    [
        (["mkfs.ext4", "-q"], "partclone.extfs", 160 * MiB),
        (["mkfs.xfs", "-q"], "partclone.xfs", 320 * MiB),
        (["mkfs.btrfs", "-q"], "partclone.btrfs", 160 * MiB),
    ],
    ids=["ext4", "xfs", "btrfs"],
)
def test_a_filesystem_over_garbage(
    sparse: Sparse, attach: Attach, tmp_path: Path, mkfs: list[str], tool: str, size: int
) -> None:
    """Its used blocks alone, and any bytes where it says that it uses none, are all of it."""
    path = sparse(size)
    kept = filesystem(path, mkfs, attach, tmp_path / "mounted")
    assert DELETED in path.read_bytes()
    with disk_image(path, tmp_path) as (source, about):
        _, whole = content(source)
    assert source.warnings == []
    assert DELETED not in whole
    facts = about.disk
    assert facts is not None
    assert facts.table == "none"
    assert about.architecture == "any"
    assert [(p.number, p.size, p.used) for p in facts.partitions] == [(0, facts.size, tool)]
    assert total(facts.unused) > 100 * MiB
    copy = bytearray(whole)
    for start, size in facts.unused:
        copy[start : start + size] = b"\xa5" * size
    (tmp_path / "copy").write_bytes(copy)
    check = {
        "partclone.extfs": ["e2fsck", "-f", "-n"],
        "partclone.xfs": ["xfs_repair", "-n", "-f"],
        "partclone.btrfs": ["btrfs", "check", "--readonly"],
    }
    call(*check[tool], tmp_path / "copy")
    call("mount", "-o", "loop", tmp_path / "copy", tmp_path / "mounted")
    try:
        assert (tmp_path / "mounted/kept").read_bytes() == kept
    finally:
        call("umount", tmp_path / "mounted")


@pytest.mark.parametrize("mkfs", [["mkfs.ext4", "-q"], ["mkfs.xfs", "-q"]], ids=["ext4", "xfs"])
def test_a_filesystem_that_was_not_unmounted_is_taken_whole(
    sparse: Sparse, tmp_path: Path, mkfs: list[str]
) -> None:
    path = sparse(320 * MiB)
    call(*mkfs, path)
    (tmp_path / "mounted").mkdir()
    call("mount", "-o", "loop", path, tmp_path / "mounted")
    try:
        (tmp_path / "mounted/file").write_bytes(b"x" * MiB)
        call("sync", "-f", tmp_path / "mounted")
        call("cp", "--sparse=always", path, tmp_path / "dirty")
    finally:
        call("umount", tmp_path / "mounted")
    with disk_image(tmp_path / "dirty", tmp_path) as (source, about):
        assert content(source)[1] == (tmp_path / "dirty").read_bytes()
    assert about.disk is not None
    assert [part.used for part in about.disk.partitions] == ["all blocks"]
    (warning,) = source.warnings
    assert warning.startswith(f"all blocks of {about.disk.partitions[0].filesystem} are taken")


def test_swap_is_its_header(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(64 * MiB)
    call("mkswap", path)
    with path.open("r+b") as file:
        file.seek(MiB)
        file.write(DELETED * 1000)
    with disk_image(path, tmp_path) as (source, about):
        assert DELETED not in content(source)[1]
    assert about.disk is not None
    assert about.disk.partitions[0].used == "swap: its header only"


def test_a_table_for_4k_sectors(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(128 * MiB)
    node = subprocess.check_output(
        ["losetup", "--find", "--show", "--sector-size=4096", path], text=True
    ).strip()
    try:
        call("sfdisk", node, text="label: gpt\nstart=256, size=1024\nstart=2048, size=4096\n")
    finally:
        call("losetup", "--detach", node)
    with disk_image(path, tmp_path) as (_, about):
        pass
    facts = about.disk
    assert facts is not None
    assert facts.logical_sector == 4096
    assert [(p.start, p.size) for p in facts.partitions] == [
        (MiB, 4 * MiB),
        (8 * MiB, 16 * MiB),
    ]


def test_a_dos_table_with_logical_partitions(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(128 * MiB)
    table = "label: dos\nsize=16MiB, type=83\ntype=5\nsize=16MiB, type=83\nsize=16MiB, type=82\n"
    call("sfdisk", path, text=table)
    with path.open("r+b") as file:
        file.write(b"boot code")
    with disk_image(path, tmp_path) as (source, about):
        parts, _ = content(source)
    assert about.disk is not None
    assert about.disk.table == "dos"
    assert [part.number for part in about.disk.partitions] == [1, 2, 5, 6]
    assert parts[0].startswith(b"boot code")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: os.truncate(path, 100 * MiB), "the GPT of .* cannot be read"),
        (lambda path: os.truncate(path, 100 * MiB + 7), "no whole sectors of 512"),
        (lambda path: _zero(path, 512, 32 * 512), "cannot be read"),
    ],
    ids=["cut off", "no whole sectors", "no GPT left"],
)
def test_spoiled(windows: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "spoiled"
    call("cp", "--sparse=always", windows, path)
    _zero(path, windowslike.SIZE - 33 * 512, 33 * 512)
    spoil(path)
    with pytest.raises(SwarmstrapError, match=says), disk_image(path, tmp_path):
        pass


def _zero(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(size))


def test_one_gpt_of_two_is_enough_and_is_said(windows: Path, tmp_path: Path) -> None:
    path = tmp_path / "spoiled"
    call("cp", "--sparse=always", windows, path)
    _zero(path, windowslike.SIZE - 33 * 512, 33 * 512)
    with disk_image(path, tmp_path) as (source, _):
        (warning,) = source.warnings
    assert warning.startswith("its partition table: The backup GPT table is corrupt")


def test_a_qcow2_that_is_cut_off(windows: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.qcow2"
    call("qemu-img", "convert", "-O", "qcow2", windows, path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SwarmstrapError, match="is damaged or cut off"), disk_image(path, tmp_path):
        pass
    assert os.listdir(tmp_path) == ["short.qcow2"]


def test_what_looks_like_a_disk(windows: Path, sparse: Sparse, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"PAX or something" * 1000)
    bare = sparse(320 * MiB)
    call("mkfs.btrfs", "-q", bare)
    images = [windows, bare]
    for kind in ("qcow2", "vmdk", "vdi", "vhdx", "vpc"):
        images.append(tmp_path / kind)
        call("qemu-img", "convert", "-O", kind, windows, images[-1])
    assert all(looks_like_disk(image) for image in images)
    assert not looks_like_disk(plain)


def test_a_disk_that_is_in_use(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(64 * MiB)
    call("mkfs.ext4", "-q", path)
    node = Path(subprocess.check_output(["losetup", "-f", "--show", path], text=True).strip())
    try:
        with disk_image(node, tmp_path) as (source, about):
            assert about.disk is not None
            assert content(source)[1].count(0) < 64 * MiB
        call("mount", node, tmp_path)
        try:
            with pytest.raises(SwarmstrapError, match="busy"), disk_image(node, tmp_path):
                pass
        finally:
            call("umount", tmp_path)
    finally:
        call("losetup", "-d", node)


def test_a_map_of_blocks() -> None:
    text = "# a comment\n0x100 ?\n0x0 0x20 +\n0x20 0x40 ?\n0x60 0xA0 +\n"
    assert parse_domain(text) == [(0, 0x20), (0x60, 0xA0)]
