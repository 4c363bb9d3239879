# SPDX-License-Identifier: GPL-2.0-or-later
"""New filesystems of every kind that a node may get, on loop devices."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmstrap.units import GiB

# Only one of them takes an attribute of 64 KiB, only one a file of 16 TiB and more.
MKFS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}


@contextmanager
def mounted(kind: str, folder: Path, size: int = 4 * GiB) -> Iterator[Path]:
    """The root of a new filesystem; its image is a sparse file in `folder`."""
    if f"\t{kind}\n" not in Path("/proc/filesystems").read_text():
        pytest.skip(f"this kernel knows no {kind}")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        image, root = Path(place) / "image", Path(place) / "root"
        root.mkdir()
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([*MKFS[kind], image], check=True)
        subprocess.run(["mount", "-o", "loop", image, root], check=True)
        try:
            (root / "tree").mkdir()
            yield root / "tree"
        finally:
            subprocess.run(["umount", root], check=True)
