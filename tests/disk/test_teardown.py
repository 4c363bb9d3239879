# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that somebody uses is left as it is, on loop devices."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.disk.conftest import Attach, unmount

from swarmstrap.effects.disks import teardown
from swarmstrap.effects.hardware import udev
from swarmstrap.errors import StepFailed
from swarmstrap.units import MiB
from swarmstrap.volumes import DiskId

DISK = DiskId("/dev/sda", 128 * MiB, "x", "", "", 512)


@pytest.fixture
def node(sparse: Callable[[int], Path], attach: Attach, monkeypatch: pytest.MonkeyPatch) -> str:
    """The loop device that is the planned disk now."""
    node = attach(sparse(DISK.size), 512)
    monkeypatch.setattr(udev, "find", {DISK: node}.__getitem__)
    return node


def test_nothing_to_stop(node: str) -> None:
    teardown.stop([DISK])


@pytest.mark.parametrize(("form", "use"), [("ext4", "{point}"), ("btrfs", "btrfs ")])
def test_what_is_mounted_stays(form: str, use: str, node: str, tmp_path: Path) -> None:
    point = tmp_path / "mounted"
    point.mkdir()
    subprocess.run([f"mkfs.{form}", "-q", node], check=True)
    subprocess.run(["mount", node, point], check=True)
    try:
        with pytest.raises(StepFailed, match=f"{node} is in use: {use.format(point=point)}"):
            teardown.stop([DISK])
        assert point.is_mount()
    finally:
        unmount(point, node)
    teardown.stop([DISK])
