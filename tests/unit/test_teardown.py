# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies on a disk is stopped topmost first, as sysfs tells it."""

from pathlib import Path

import pytest

from swarmstrap.effects.disks.teardown import stacked, stop_arguments
from swarmstrap.errors import StepFailed

KINDS = {"dm-": "dm", "md": "md"}


class Block:
    """A folder like /sys/block, made of `NAME: what lies on it`, where `sda1` is a part of sda."""

    def __init__(self, folder: Path, **held: list[str]) -> None:
        self._folder = folder
        for name, holders in held.items():
            place = self.device(name.replace("_", "-")) / "holders"
            for holder in holders:
                (place / holder).symlink_to(self.device(holder))

    def device(self, name: str) -> Path:
        disk = name.rstrip("0123456789") if name.startswith("sd") else name
        place = self._folder / disk / name if name != disk else self._folder / disk
        if not place.exists():
            (place / "holders").mkdir(parents=True)
            for prefix, kind in KINDS.items():
                if name.startswith(prefix):
                    (place / kind).mkdir()
                    (place / kind / "name").write_text(f"the-{name}\n")
            if name != disk:
                (place / "partition").write_text("1\n")
                (self._folder / disk / "holders").mkdir(exist_ok=True)
        return place

    def above(self, *names: str) -> list[str]:
        return [found.name for found in stacked(map(self.device, names))]


def test_nothing_on_a_disk(tmp_path: Path) -> None:
    assert Block(tmp_path, sda=[], sda1=[]).above("sda") == []


def test_lvm_on_luks_on_an_array(tmp_path: Path) -> None:
    block = Block(tmp_path, sda1=["md127"], sdb1=["md127"], md127=["dm-0"], dm_0=["dm-1", "dm-2"])
    assert block.above("sda", "sdb") == ["dm-1", "dm-2", "dm-0", "md127"]
    assert block.above("sdb") == ["dm-1", "dm-2", "dm-0", "md127"]


def test_a_thin_pool(tmp_path: Path) -> None:
    """dm-0 and dm-1 are its data and metadata, dm-2 the pool, dm-3 and dm-4 volumes."""
    block = Block(
        tmp_path, sda2=["dm-0", "dm-1"], dm_0=["dm-2"], dm_1=["dm-2"], dm_2=["dm-3", "dm-4"]
    )
    assert block.above("sda") == ["dm-3", "dm-4", "dm-2", "dm-0", "dm-1"]


def test_one_group_over_two_disks_is_stopped_once(tmp_path: Path) -> None:
    block = Block(tmp_path, sda=["dm-0"], sdb=["dm-0", "dm-1"], dm_0=["dm-2"], dm_1=["dm-2"])
    assert block.above("sda", "sdb") == ["dm-2", "dm-0", "dm-1"]


def test_commands(tmp_path: Path) -> None:
    block = Block(tmp_path)
    assert stop_arguments(block.device("md127")) == ["mdadm", "--stop", "/dev/md127"]
    assert stop_arguments(block.device("dm-3")) == ["dmsetup", "remove", "--retry", "the-dm-3"]


def test_what_nobody_knows_how_to_stop(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="bcache0 runs on a disk of the plan"):
        stop_arguments(Block(tmp_path).device("bcache0"))
