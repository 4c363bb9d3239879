# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a system on a disk image, on real filesystems and so as root."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.disk.conftest import unmount
from tests.trees import small_system

from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.errors import SwarmstrapError
from swarmstrap.manifest import DiskPartition
from swarmstrap.units import MiB
from swarmstrap_server.images.facts import about_tree
from swarmstrap_server.images.sources.disk_tree import disk_tree
from swarmstrap_server.images.sources.fstab import Line, parse_fstab
from swarmstrap_server.images.walk import Walk

Sparse = Callable[[int], Path]

SIZE = 900 * MiB
BOOT, ROOT, HOME = ((start * MiB, size * MiB) for start, size in ((1, 64), (65, 400), (465, 400)))
TABLE = "label: gpt\n" + "".join(
    f"start={start // 512}, size={size // 512}, name={name}, uuid={guid}\n"
    for name, guid, (start, size) in (
        ("boot", "11111111-2222-4333-8444-555555555501", BOOT),
        ("root", "11111111-2222-4333-8444-555555555502", ROOT),
        ("home", "11111111-2222-4333-8444-555555555503", HOME),
    )
)
FSTAB = r"""
# a comment
UUID=0a0a0a0a-0b0b-4c0c-8d0d-0e0e0e0e0e0e / ext4 defaults 0 1
PARTLABEL=boot /boot ext4 defaults 0 2
/dev/vda3 /home xfs defaults 0 2
PARTUUID=99999999-2222-4333-8444-555555555501 /gone ext4 defaults 0 2
LABEL=boot /out ext4 defaults 0 2
tmpfs /tmp tmpfs defaults 0 0
LABEL=swap none swap sw 0 0
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def call(*command: str | Path, text: str = "") -> None:
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


@contextmanager
def filesystem(disk: Path, place: tuple[int, int], mkfs: str, folder: Path) -> Iterator[Path]:
    start, size = place
    node = subprocess.check_output(
        ["losetup", "-f", "--show", f"-o{start}", f"--sizelimit={size}", disk], text=True
    ).strip()
    folder.mkdir(exist_ok=True)
    try:
        call(*mkfs.split(), node)
        call("mount", node, folder)
        try:
            yield folder
        finally:
            unmount(folder, node)
    finally:
        call("losetup", "-d", node)


@pytest.fixture
def debian(sparse: Sparse, tmp_path: Path) -> Path:
    path = sparse(SIZE)
    call("sfdisk", "--quiet", path, text=TABLE)
    folder = tmp_path / "make"
    with filesystem(path, BOOT, "mkfs.ext4 -q -L boot", folder) as boot:
        (boot / "vmlinuz-6.1").write_bytes(b"a kernel")
    with filesystem(path, ROOT, "mkfs.ext4 -q", folder) as root:
        small_system(root)
        for name in ("boot", "home", "gone", "usr", "within"):
            (root / name).mkdir()
        (root / "out").symlink_to("/within")
        (root / "etc/fstab").write_text(FSTAB)
    with filesystem(path, HOME, "mkfs.xfs -q", folder) as home:
        (home / "user").write_bytes(b"hello")
    return path


def test_every_filesystem_of_the_system(debian: Path, tmp_path: Path) -> None:
    before = debian.stat().st_mtime_ns
    with disk_tree(debian, tmp_path) as tree:
        walk = Walk(tree, ())
        paths = {entry.path for entry in walk}
        about = about_tree(tree)
        mounted = [point for point in mount_points(Path("/")) if "swarmstrap-tree-" in point]
        assert len(mounted) == 4
        assert not Path("/within").exists()
    # The link leads to where it does in the system of the image.
    assert {b"boot/vmlinuz-6.1", b"home/user", b"etc/fstab", b"within/vmlinuz-6.1"} <= paths
    assert [kernel.version for kernel in about.facts.kernels] == ["6.1"]
    assert tree.name == str(debian)
    assert tree.warnings == [
        "left out /gone of its fstab: PARTUUID=99999999-2222-4333-8444-555555555501 is not on "
        "this disk"
    ]
    assert not [point for point in mount_points(Path("/")) if "swarmstrap-tree-" in point]
    assert debian.stat().st_mtime_ns == before


def test_a_journal_that_was_not_played_is_said(debian: Path, tmp_path: Path) -> None:
    start, size = ROOT
    node = subprocess.check_output(
        ["losetup", "-f", "--show", f"-o{start}", f"--sizelimit={size}", debian], text=True
    ).strip()
    folder = tmp_path / "use"
    folder.mkdir()
    call("mount", node, folder)
    try:
        (folder / "new").write_bytes(b"new")
        call("sync", "-f", folder)
        call("cp", "--sparse=always", debian, tmp_path / "used.img")
    finally:
        call("umount", folder)
        call("losetup", "-d", node)
    with disk_tree(tmp_path / "used.img", tmp_path) as tree:
        assert tree.warnings[0].startswith("partition 2 (ext4) was not unmounted")


def test_a_system_in_lvm(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(64 * MiB)
    node = subprocess.check_output(["losetup", "-f", "--show", path], text=True).strip()
    try:
        call("pvcreate", "--quiet", "--yes", node)
    finally:
        call("losetup", "-d", node)
    says = "no partition with the root of a system: it has LVM, which is not opened here"
    with pytest.raises(SwarmstrapError, match=says), disk_tree(path, tmp_path):
        pass


def test_a_btrfs_whose_root_is_a_subvolume(sparse: Sparse, tmp_path: Path) -> None:
    path = sparse(320 * MiB)
    with filesystem(path, (0, 320 * MiB), "mkfs.btrfs -q", tmp_path / "make") as folder:
        for name in ("@", "@home"):
            call("btrfs", "subvolume", "create", folder / name)
        small_system(folder / "@")
        for name in ("usr", "home"):
            (folder / "@" / name).mkdir()
        (folder / "@/etc/fstab").write_text("/dev/sda0 /home btrfs subvol=@home 0 0\n")
        (folder / "@home/user").write_bytes(b"hello")
    with disk_tree(path, tmp_path) as tree:
        paths = {entry.path for entry in Walk(tree, ())}
    assert b"home/user" in paths


def test_lines_of_an_fstab() -> None:
    lines = parse_fstab(
        FSTAB + "LABEL=a\\040b /a/b ext4 ro,noauto\nLABEL=a\\040b /a ext4\n//nas/x /nas cifs\n"
    )
    assert [line.point for line in lines] == ["/a", "/boot", "/gone", "/home", "/out"]
    parts = [
        DiskPartition(number=1, start=0, size=1, type="83", label="a b", guid="1234abcd-01"),
        DiskPartition(number=2, start=1, size=1, type="83", label="twice", uuid="AB-CD"),
        DiskPartition(number=3, start=2, size=1, type="83", label="twice"),
    ]
    found = {
        device: Line(device, "/", "").find(parts)
        for device in ("LABEL=a b", "LABEL=twice", "UUID=ab-cd", "/dev/nvme0n1p3", "LABEL=", "/x")
    }
    assert {device: part and part.number for device, part in found.items()} == {
        "LABEL=a b": 1,
        "LABEL=twice": None,
        "UUID=ab-cd": 2,
        "/dev/nvme0n1p3": 3,
        "LABEL=": None,
        "/x": None,
    }
