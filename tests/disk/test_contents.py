# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies on a disk and who uses it, on loop devices."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.disk.conftest import Attach, unmount

from swarmstrap.effects.hardware import contents
from swarmstrap.hardware import FoundPartition
from swarmstrap.units import MiB

Sparse = Callable[[int], Path]


def folder(node: str) -> Path:
    return Path("/sys/class/block") / Path(node).name


def test_an_empty_disk(sparse: Sparse, attach: Attach) -> None:
    node = attach(sparse(8 * MiB), 512)
    assert contents.probe(folder(node)) == contents.Contents()
    assert list(contents.users(folder(node))) == []
    assert not contents.is_path(folder(node))


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_label_of_a_filesystem(sector: int, sparse: Sparse, attach: Attach) -> None:
    node = attach(sparse(40 * MiB), sector)
    subprocess.run(["mkfs.vfat", "-n", "SWARMSTRAP", node], check=True, stdout=subprocess.DEVNULL)
    name = Path(node).name
    found = contents.probe(folder(node))
    assert f"vfat ({name}, label SWARMSTRAP)" in found.signatures
    assert found.labels == {"SWARMSTRAP"}


def test_a_mounted_disk_names_its_mount_point(
    sparse: Sparse, attach: Attach, tmp_path: Path
) -> None:
    node, place = attach(sparse(16 * MiB), 512), tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mke2fs", "-q", "-t", "ext4", node], check=True)
    subprocess.run(["mount", node, place], check=True)
    try:
        assert list(contents.users(folder(node))) == [str(place)]
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_mounted_btrfs_is_known_by_all_its_devices(
    sparse: Sparse, attach: Attach, tmp_path: Path
) -> None:
    """Mounts show neither of them: a btrfs has a device number of its own."""
    nodes, place = [attach(sparse(128 * MiB), 512) for _ in range(2)], tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mkfs.btrfs", "-q", "-d", "single", *nodes], check=True)
    subprocess.run(["mount", nodes[0], place], check=True)
    try:
        for node in nodes:
            (use,) = contents.users(folder(node))
            assert use.startswith("btrfs ")
    finally:
        unmount(place, nodes[0])
    assert [list(contents.users(folder(node))) for node in nodes] == [[], []]


def test_a_partition_is_what_sysfs_and_blkid_say(tmp_path: Path) -> None:
    for name, number in (("partition", 3), ("start", 2048), ("size", 4096)):
        (tmp_path / name).write_text(f"{number}\n")
    found = contents.partition(
        tmp_path,
        {
            "PART_ENTRY_TYPE": "0fc63daf-8483-4772-8e79-3d69d8477de4",
            "PART_ENTRY_UUID": "0a1b2c3d-0000-4000-8000-000000000003",
            "PART_ENTRY_NAME": "home",
            "TYPE": "xfs",
            "UUID": "0a1b2c3d-0000-4000-8000-000000000103",
            "LABEL": "data",
        },
    )
    assert found == FoundPartition(
        number=3,
        start=MiB,
        size=2 * MiB,
        type="0fc63daf-8483-4772-8e79-3d69d8477de4",
        uuid="0a1b2c3d-0000-4000-8000-000000000003",
        name="home",
        filesystem="xfs",
        filesystem_uuid="0a1b2c3d-0000-4000-8000-000000000103",
        label="data",
    )
