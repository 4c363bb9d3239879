# SPDX-License-Identifier: GPL-2.0-or-later
"""Image files, and loop devices where a test needs the kernel (and so root)."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Attach = Callable[[Path, int], str]


@pytest.fixture
def sparse(tmp_path: Path) -> Callable[[int], Path]:
    """Makes an image file of so many bytes that takes no room."""

    def make(size: int) -> Path:
        path = tmp_path / f"disk-{len(list(tmp_path.glob('disk-*')))}.img"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    return make


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Attaches a file to a loop device with a sector size of its own; detaches them at the end."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    nodes: list[str] = []

    def to_loop(path: Path, sector: int) -> str:
        # Only with --partscan does the kernel take the order to read the table again.
        command = ["losetup", "--find", "--show", "--partscan", f"--sector-size={sector}"]
        command.append(str(path))
        nodes.append(subprocess.check_output(command, text=True).strip())
        return nodes[-1]

    yield to_loop
    for node in nodes:
        subprocess.run(["losetup", "--detach", node], check=True)
