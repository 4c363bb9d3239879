# SPDX-License-Identifier: GPL-2.0-or-later
"""A partition that has to stay: found by its filesystem's label, and every change of it seen."""

import subprocess
from pathlib import Path

import pytest

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import MiB
from swarmstrap_server.lab.keeping import Kept

TABLE = "label: {}\n2048,8192\n10240,16384\n"
START, SIZE = 5 * MiB, 8 * MiB


def write(disk: Path, offset: int, data: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture(params=["gpt", "dos"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """16 MiB with two partitions; the second one is swap that is called `data`."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(16 * MiB)
    table = TABLE.format(request.param).encode()
    subprocess.run(["sfdisk", "--quiet", path], input=table, check=True)
    swap = tmp_path / "swap"
    swap.write_bytes(bytes(SIZE))
    swap.chmod(0o600)
    subprocess.run(["mkswap", "--quiet", "--label=data", swap], check=True)
    write(path, START, swap.read_bytes())
    return path


def test_what_lies_beside_it_is_no_matter(disk: Path) -> None:
    kept = Kept.filled(disk, "data")
    assert (kept.start, kept.size) == (START, SIZE)
    write(disk, START - 1, b"x")
    write(disk, START + SIZE, b"x")
    assert kept.is_as_it_was()


@pytest.mark.parametrize("offset", [START, START + SIZE - 1])
def test_one_byte_is_seen(disk: Path, offset: int) -> None:
    kept = Kept.filled(disk, "data")
    write(disk, offset, b"?")
    assert not kept.is_as_it_was()


def test_a_table_without_it_is_seen(disk: Path) -> None:
    kept = Kept.filled(disk, "data")
    subprocess.run(["sfdisk", "--quiet", "--delete", disk, "2"], check=True)
    assert not kept.is_as_it_was()


def test_a_label_that_nothing_has(disk: Path) -> None:
    with pytest.raises(SwarmstrapError, match="no partition with a filesystem other"):
        Kept.filled(disk, "other")
