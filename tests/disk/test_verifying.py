# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything is read back from the disk, and one byte that differs is found."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.applying import applied
from tests.publishing import Site
from tests.trees import needs_root

from swarmstrap.effects.images.updating import Terms
from swarmstrap.effects.images.verifying import verify_tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.errors import StepFailed
from swarmstrap.index import Index
from swarmstrap.manifest import INDEX_FILE
from swarmstrap.preserving import Rules

pytestmark = needs_root
TERMS = Terms(Rules.nothing(), checksum=True)


@pytest.fixture
async def written(tmp_path: Path) -> tuple[Path, Index]:
    site = Site(tmp_path)
    (site.source / "large").write_bytes(os.urandom(20 << 20))
    (site.source / "link").symlink_to("large")
    image = site.image()
    root = tmp_path / "root"
    root.mkdir()
    await applied(image.directory, image.manifest, root)
    return root, load_index(image.directory / INDEX_FILE, image.manifest)


def test_all_data_are_read(written: tuple[Path, Index]) -> None:
    root, index = written
    read: list[int] = []
    (root / "lost+found").mkdir()
    os.utime(root, ns=(index.entries[0].mtime, index.entries[0].mtime))
    verify_tree(root, index, TERMS, read.append)
    assert sum(read) == sum(entry.size for entry in index.entries)


def rot(root: Path) -> None:
    """A bit of the last part of a file of several; nothing else tells of it."""
    path = root / "large"
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(19 << 20)
        byte = file.read(1)
        file.seek(19 << 20)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (rot, "'large' is not on the disk as it was written: its data differ"),
        (lambda root: os.truncate(root / "data", 5), "'data' .*: its data differ"),
        (lambda root: (root / "bin/sh").chmod(0o777), "'bin/sh' .*: its metadata differ"),
        (lambda root: os.utime(root / "etc", ns=(1, 1)), "'etc' .*: its metadata differ"),
        (lambda root: os.lchown(root / "link", 1, 1), "'link' .*: it differs"),
    ],
)
def test_what_differs_is_named(
    written: tuple[Path, Index], harm: Callable[[Path], None], complaint: str
) -> None:
    root, index = written
    harm(root)
    with pytest.raises(StepFailed, match=complaint):
        verify_tree(root, index, TERMS, lambda _: None)
