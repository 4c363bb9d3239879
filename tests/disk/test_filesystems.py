# SPDX-License-Identifier: GPL-2.0-or-later
"""Filesystems made on image files, and trees of them mounted from loop devices."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.layout import Format
from swarmstrap.steps.storage import MakeFilesystem, MakeSubvolumes, MountVolume
from swarmstrap.units import MiB
from swarmstrap.volumes import DiskId, PartitionVolume, PlannedPartition

Sparse = Callable[[int], Path]
Attach = Callable[[Path, int], str]
UUID = "0d5c2f0e-2bd6-5a31-9f70-3c1f3d3f0a01"


def volume(size: int, sector: int = 512) -> PartitionVolume:
    disk = DiskId("/dev/vda", size, "x", "", "", sector)
    return PartitionVolume(disk, PlannedPartition(1, "a-rather-long-label", "linux", MiB, size, ""))


def made(
    path: Path, form: Format, size: int, uuid: str = UUID, sector: int = 512
) -> dict[str, str]:
    """What blkid says of a filesystem that the step's command made on `path`."""
    step = MakeFilesystem(volume(size, sector), form, "a-rather-long-label", uuid, size // sector)
    run(filesystems.mkfs_arguments(step, str(path)), timeout=120)
    said = subprocess.check_output(["blkid", "--probe", "--output=export", str(path)], text=True)
    return dict(line.split("=", 1) for line in said.splitlines())


def test_ext4(sparse: Sparse) -> None:
    path = sparse(256 * MiB)
    found = made(path, "ext4", 256 * MiB)
    assert (found["TYPE"], found["UUID"]) == ("ext4", UUID)
    assert found["LABEL"] == "a-rather-long-la"
    features = subprocess.check_output(["dumpe2fs", "-h", path], text=True, stderr=subprocess.PIPE)
    (line,) = [line for line in features.splitlines() if line.startswith("Filesystem features:")]
    assert {"metadata_csum", "64bit", "extent"} <= set(line.split())
    assert not {"metadata_csum_seed", "orphan_file"} & set(line.split())
    subprocess.run(["e2fsck", "-fn", path], check=True, capture_output=True)


def test_xfs(sparse: Sparse) -> None:
    path = sparse(512 * MiB)
    found = made(path, "xfs", 512 * MiB)
    assert (found["TYPE"], found["UUID"], found["LABEL"]) == ("xfs", UUID, "a-rather-lon")
    subprocess.run(["xfs_repair", "-n", path], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("size", "sector", "version"),
    [
        (512 * MiB, 512, "FAT32"),
        (33 * MiB, 512, "FAT32"),
        (32 * MiB, 512, "FAT16"),
        (512 * MiB, 4096, "FAT32"),
        (128 * MiB, 4096, "FAT16"),
    ],
)
def test_vfat(size: int, sector: int, version: str, sparse: Sparse, attach: Attach) -> None:
    node = Path(attach(sparse(size), sector))
    found = made(node, "vfat", size, "B699-3DF7", sector)
    assert (found["TYPE"], found["UUID"], found["VERSION"]) == ("vfat", "B699-3DF7", version)
    assert found["LABEL"] == "A-RATHER-LO"
    checked = subprocess.run(["fsck.vfat", "-n", node], capture_output=True, text=True, check=True)
    assert "differences" not in checked.stdout


def test_swap(sparse: Sparse) -> None:
    found = made(sparse(64 * MiB), "swap", 64 * MiB)
    assert (found["TYPE"], found["UUID"]) == ("swap", UUID)


def test_subvolumes_of_a_btrfs(
    sparse: Sparse, attach: Attach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = sparse(256 * MiB), volume(256 * MiB)
    assert made(path, "btrfs", 256 * MiB)["UUID"] == UUID
    node = attach(path, 512)
    monkeypatch.setattr(udev, "partition_node", lambda wanted: node)
    filesystems.make_subvolumes(
        MakeSubvolumes(whole, ("@", "nested/@home")), tmp_path / "meanwhile"
    )
    assert mount_points(tmp_path / "meanwhile") == []
    root = tmp_path / "new system"
    filesystems.mount(MountVolume(whole, "btrfs", "/", "subvol=@"), root)
    filesystems.mount(MountVolume(whole, "btrfs", "/home", "subvol=nested/@home,noatime"), root)
    (root / "home/here").write_text("x")
    assert [path.name for path in root.iterdir()] == ["home"]
    filesystems.settle(root)


def signatures(path: Path) -> set[str]:
    command = ["wipefs", "--noheadings", "--output=TYPE", str(path)]
    return set(subprocess.check_output(command, text=True).split())


def test_what_an_older_member_left_at_the_end_is_gone(
    sparse: Sparse, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mkfs.vfat leaves it, and blkid would see both."""
    path = sparse(256 * MiB)
    with path.open("r+b") as file:
        file.seek(-512, os.SEEK_END)
        file.write(b"$XIDE$")
    assert signatures(path) == {"lsi_mega_raid_member"}
    node = attach(path, 512)
    monkeypatch.setattr(udev, "partition_node", lambda wanted: node)
    filesystems.make(MakeFilesystem(volume(256 * MiB), "vfat", "ESP", "B699-3DF7", 524288))
    assert signatures(path) == {"vfat"}


@pytest.fixture
def tree(sparse: Sparse, attach: Attach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a new system, whose two volumes are an ext4 and an xfs on loop devices."""
    nodes = {}
    forms: tuple[Format, ...] = ("ext4", "xfs")
    for number, form in enumerate(forms):
        path = sparse((300 + number) * MiB)
        made(path, form, (300 + number) * MiB)
        nodes[(300 + number) * MiB] = attach(path, 512)
    monkeypatch.setattr(udev, "partition_node", lambda wanted: nodes[wanted.partition.size])
    root = tmp_path / "new system"
    for number, (form, target) in enumerate(zip(forms, ("/", "/var/lib"), strict=True)):
        filesystems.mount(MountVolume(volume((300 + number) * MiB), form, target, "noatime"), root)
    return root


def test_a_tree_goes_up_and_comes_down(tree: Path) -> None:
    assert mount_points(tree) == [str(tree), str(tree / "var/lib")]
    (tree / "var/lib/here").write_text("x")
    filesystems.settle(tree)
    assert mount_points(tree) == []
    assert not (tree / "var").exists()


def test_a_busy_tree_is_named_and_can_be_released(tree: Path) -> None:
    with (tree / "var/lib/open").open("w"):
        with pytest.raises(
            StepFailed, match=r"umount ended with status 32: .*var/lib: target is b"
        ):
            filesystems.settle(tree)
        filesystems.release(tree)
        assert mount_points(tree) == []
