# SPDX-License-Identifier: GPL-2.0-or-later
"""An error of any filesystem of the tree is told, not only one of the root."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.disk.conftest import Attach

from swarmstrap.effects.disks.filesystems import release
from swarmstrap.effects.disks.mounts import mount_points, sync
from swarmstrap.errors import StepFailed
from swarmstrap.units import MiB


@pytest.fixture
def overcommitted(tmp_path: Path, attach: Attach) -> Iterator[Path]:
    """A tree whose var is on a disk of 64 MiB that fails past its first few."""
    backing, root = tmp_path / "backing", tmp_path / "root"
    backing.mkdir()
    (root / "var").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", backing], check=True)
    with (backing / "disk").open("wb") as file:
        file.truncate(64 * MiB)
    node = attach(backing / "disk", 512)
    features = "^has_journal,^metadata_csum"
    subprocess.run(["mkfs.ext4", "-q", "-O", features, "-E", "nodiscard", node], check=True)
    subprocess.run(["mount", node, root / "var"], check=True)
    yield root
    release(root)
    subprocess.run(["umount", "--lazy", backing], check=True)


def test_what_a_disk_below_the_root_lost_is_told(overcommitted: Path) -> None:
    sync(overcommitted)
    (overcommitted / "var/big").write_bytes(os.urandom(16 * MiB))
    lost = r"cannot sync '.*/root/var' on /dev/loop\d+: Input/output error"
    with pytest.raises(StepFailed, match=lost):
        sync(overcommitted)


def test_a_tree_without_mounts(tmp_path: Path) -> None:
    assert mount_points(tmp_path) == []
    sync(tmp_path)
