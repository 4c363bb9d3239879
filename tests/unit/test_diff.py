# SPDX-License-Identifier: GPL-2.0-or-later
"""Two versions share every frame whose members did not change, and the rest is told by path."""

import os
import random
import shutil
from pathlib import Path

import pytest
from tests.publishing import Site

from swarmstrap_server.images.diff import Changed, Difference, compare
from swarmstrap_server.images.verify import read_index

FILES = 400


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A system of some 60 MiB that does not compress: some seven frames."""
    site = Site(tmp_path)
    noise = random.Random(11)
    for number in range(FILES):
        (site.source / f"usr{number % 7}").mkdir(exist_ok=True)
        path = site.source / f"usr{number % 7}/file{number}"
        path.write_bytes(noise.randbytes(noise.randrange(300_000)))
    (site.source / "large").write_bytes(noise.randbytes(30 << 20))
    return site


def difference(site: Site) -> Difference:
    old, new = (read_index(site.store.get("system", version)) for version in "12")
    return compare(old, new)


def test_nothing_changed(site: Site) -> None:
    site.publish(version="1")
    site.publish(version="2")
    found = difference(site)
    assert (found.added, found.changed, found.removed) == ((), (), ())
    assert found.moved.shared == found.moved.frames > 8
    assert found.moved.bytes_not_shared == found.moved.bytes_changed == 0


def test_what_changed_is_told_and_costs_its_own_frames(site: Site) -> None:
    site.publish(version="1")
    source = site.source
    with (source / "large").open("r+b") as file:
        file.seek(20 << 20)
        file.write(b"changed")
    os.utime(source / "large", ns=(0, (source / "large").stat().st_mtime_ns))
    (source / "usr3/file3").chmod(0o600)
    (source / "usr4/file4").unlink()
    (source / "usr4/file4").symlink_to("file11")
    shutil.rmtree(source / "etc")
    (source / "zz").write_bytes(b"new")
    site.publish(version="2")

    found = difference(site)
    assert found.added == (b"zz",)
    assert found.removed == (b"etc", b"etc/os-release")
    changed = {change.path: change for change in found.changed}
    assert changed[b"usr3/file3"] == Changed(b"usr3/file3", False, ("mode",))
    assert changed[b"usr4/file4"].content
    assert changed[b"usr4/file4"].metadata[0] == "kind"
    assert changed[b"large"].content
    assert "size" not in changed[b"large"].metadata
    # Data of one part of `large`, and of `zz`: other frames changed only in what the index says.
    moved = found.moved
    assert moved.changed == 2
    assert moved.bytes_changed < moved.bytes_not_shared < moved.bytes_all / 2
    assert moved.shared >= moved.frames / 2
