# SPDX-License-Identifier: GPL-2.0-or-later
"""An image on a larger disk: its table and the last filesystem, and nothing else, fit the disk."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.disk.conftest import unmount

from swarmstrap.effects.disks import grow
from swarmstrap.effects.disks.clones import shared
from swarmstrap.effects.hardware.contents import marks
from swarmstrap.errors import StepFailed
from swarmstrap.manifest import PartitionTable
from swarmstrap.steps.storage import GrowDisk, Growth
from swarmstrap.units import MiB
from swarmstrap.volumes import DiskId

Sparse = Callable[[int], Path]
Attach = Callable[[Path, int], str]

UUID = "0a0a0a0a-0b0b-4c0c-8d0d-0e0e0e0e0e0e"
SMALL, LARGE = 400 * MiB, 800 * MiB
START = 40 * MiB
TABLES = {
    "gpt": "label: gpt\nlabel-id: 11111111-2222-4333-8444-555555555555\n"
    "start=1MiB, size=39MiB, name=ESP, type=U\n"
    "start=40MiB, size=350MiB, name=root, attrs=GUID:63, "
    "uuid=11111111-2222-4333-8444-666666666666\n",
    "dos": "label: dos\nlabel-id: 0x1234abcd\n"
    "start=1MiB, size=39MiB, type=c\nstart=40MiB, size=350MiB, type=83, bootable\n",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")


def table_of(path: Path | str) -> dict[str, object]:
    shown = subprocess.check_output(["sfdisk", "--json", path])
    table: dict[str, object] = json.loads(shown)["partitiontable"]
    return table


def growing(table: PartitionTable, growth: Growth | None, sector: int = 512) -> GrowDisk:
    return GrowDisk(DiskId("/dev/vda", LARGE, "x", "", "", sector), table, growth)


@pytest.mark.parametrize("kind", ["gpt", "dos"])
def test_a_table(kind: PartitionTable, sparse: Sparse, attach: Attach) -> None:
    path = sparse(SMALL)
    subprocess.run(["sfdisk", "--quiet", path], input=TABLES[kind], text=True, check=True)
    before = table_of(path)
    os.truncate(path, LARGE)
    node = attach(path, 512)
    size = LARGE - START - MiB
    grow.grow_table(node, growing(kind, Growth(2, "ext4", START, size)))
    after = table_of(path)
    partitions = before["partitions"], after["partitions"]
    assert isinstance(partitions[0], list)
    assert isinstance(partitions[1], list)
    partitions[0][1]["size"] = size // 512
    assert partitions[1] == partitions[0]
    assert after["id"] == before["id"]
    if kind == "gpt":
        verified = subprocess.check_output(["sgdisk", "--verify", path], text=True)
        assert "No problems found" in verified
        with path.open("rb") as file:
            file.seek(LARGE - 512)
            assert file.read(8) == b"EFI PART"


def test_a_table_of_4k_sectors_without_anything_to_grow(sparse: Sparse, attach: Attach) -> None:
    path = sparse(SMALL)
    node = attach(path, 4096)
    text = "label: gpt\nstart=256, size=1024, type=U\n"
    subprocess.run(["sfdisk", "--quiet", node], input=text, text=True, check=True)
    before = table_of(node)["partitions"]
    os.truncate(path, LARGE)
    subprocess.run(["losetup", "--set-capacity", node], check=True)
    grow.grow_table(node, growing("gpt", None, 4096))
    assert table_of(node)["partitions"] == before
    with path.open("rb") as file:
        file.seek(LARGE - 4096)
        assert file.read(8) == b"EFI PART"


@pytest.mark.parametrize(
    ("kind", "mkfs"),
    [
        ("ext4", ["mkfs.ext4", "-q"]),
        ("xfs", ["mkfs.xfs", "-q"]),
        ("btrfs", ["mkfs.btrfs", "-q"]),
    ],
)
def test_a_filesystem(
    kind: str, mkfs: list[str], sparse: Sparse, attach: Attach, tmp_path: Path
) -> None:
    path = sparse(SMALL)
    subprocess.run([*mkfs, path], check=True)
    place = tmp_path / "place"
    place.mkdir()
    small = attach(path, 512)
    subprocess.run(["mount", small, place], check=True)
    (place / "kept").write_bytes(b"kept" * MiB)
    unmount(place, small)
    os.truncate(path, LARGE)
    node = attach(path, 512)
    assert grow.grow_filesystem(node, kind) == []
    subprocess.run(["mount", node, place], check=True)
    try:
        status = os.statvfs(place)
        assert status.f_blocks * status.f_frsize > LARGE * 8 // 10
        assert (place / "kept").read_bytes() == b"kept" * MiB
    finally:
        subprocess.run(["umount", place], check=True)


def test_ntfs(sparse: Sparse, attach: Attach, tmp_path: Path) -> None:
    path = sparse(SMALL)
    subprocess.run(["mkntfs", "-Q", "-F", "-q", path], check=True, capture_output=True)
    (tmp_path / "kept").write_bytes(b"kept" * MiB)
    subprocess.run(["ntfscp", "-q", "-f", path, tmp_path / "kept", "kept"], check=True)
    os.truncate(path, LARGE)
    node = attach(path, 512)
    assert grow.grow_filesystem(node, "ntfs") == []
    shown = subprocess.run(
        ["ntfsresize", "--info", "--force", node], capture_output=True, text=True, check=False
    )
    sizes = [line for line in shown.stdout.splitlines() if line.startswith("Current volume size")]
    assert int(sizes[0].split()[3]) > LARGE * 9 // 10
    assert subprocess.check_output(["ntfscat", "-f", node, "kept"]) == b"kept" * MiB


def test_a_tool_that_did_not_ride_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    (warning,) = grow.grow_filesystem("/dev/vda3", "ntfs")
    assert warning == "the ntfs of /dev/vda3 stays as it was: no ntfsresize in this initramfs"


def test_a_filesystem_with_errors_is_not_grown(sparse: Sparse, attach: Attach) -> None:
    path = sparse(SMALL)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", path], check=True)
    with path.open("r+b") as file:  # inode tables and directories, but no superblock
        file.seek(MiB // 2)
        file.write(b"\xff" * 8 * MiB)
    node = attach(path, 512)
    with pytest.raises(StepFailed, match=f"the ext4 of {node} has errors"):
        grow.grow_filesystem(node, "ext4")


def test_what_two_disks_share_is_named() -> None:
    disks = {
        "/dev/sda": [
            ("table UUID T1", "/dev/sda"),
            ("partition UUID P1", "/dev/sda1"),
            ("filesystem UUID U1", "/dev/sda1"),
            ("filesystem label root", "/dev/sda1"),
        ],
        "/dev/sdb": [
            ("partition UUID P2", "/dev/sdb1"),
            ("filesystem UUID U1", "/dev/sdb1"),
            ("filesystem label root", "/dev/sdb1"),
        ],
        "/dev/sdc": [],
    }
    assert shared(disks, "/dev/sda") == [
        "filesystem UUID U1 is on /dev/sda1 and on /dev/sdb1",
        "filesystem label root is on /dev/sda1 and on /dev/sdb1",
    ]
    assert shared(disks, "/dev/sdc") == []


def test_marks_of_a_device(sparse: Sparse, attach: Attach) -> None:
    path = sparse(SMALL)
    subprocess.run(["mkfs.ext4", "-q", "-L", "data", "-U", UUID, path], check=True)
    node = attach(path, 512)
    assert list(marks(Path("/sys/class/block", Path(node).name))) == [
        (f"filesystem UUID {UUID}", node),
        ("filesystem label data", node),
    ]
    subprocess.run(["wipefs", "--all", "--quiet", node], check=True)
    text = f"label: gpt\nlabel-id: {UUID}\n"
    subprocess.run(["sfdisk", "--quiet", node], input=text, text=True, check=True)
    found = list(marks(Path("/sys/class/block", Path(node).name)))
    assert found == [(f"table UUID {UUID}", node)]
