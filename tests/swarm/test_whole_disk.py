# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk image from the swarm onto a disk, staged on the same disk behind it."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.disk import windowslike
from tests.disk.windowslike import SIZE
from tests.swarm.peers import Peer, offer, tracker
from tests.trees import needs_root

from swarmstrap.effects.disks.whole_disk import WholeDisk
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.effects.transfer.staged import BehindImage
from swarmstrap.effects.transfer.swarm import load
from swarmstrap.extents import gaps, merged
from swarmstrap.manifest import PAYLOAD_FILE, TORRENT_FILE
from swarmstrap.reporter import Reporter
from swarmstrap.units import MiB
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.disk import disk_image

SEEDER, NODE = "127.0.0.10", "127.0.0.41"
DEADLINE = 120.0
DISK = SIZE + 160 * MiB

pytestmark = needs_root


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(DISK)
    shown = subprocess.check_output(
        ["losetup", "--find", "--show", "--partscan", tmp_path / "disk.img"], text=True
    )
    yield shown.strip()
    subprocess.run(["losetup", "--detach", shown.strip()], check=True)


async def test_staged_behind_the_image(tmp_path: Path, node: str) -> None:
    raw = tmp_path / "disk.raw"
    await asyncio.to_thread(windowslike.make, raw, tmp_path)
    store, key = ImageStore(tmp_path / "images"), Key.generate(tmp_path / "publisher")
    with disk_image(raw, tmp_path) as (tree, about):
        image = publish(tree, "windows", "1", store, key, level=1, strip=(), about=about)
    torrent = load((image.directory / TORRENT_FILE).read_bytes(), image.manifest.infohash)
    writers = Writers.start(2)
    download = Download(writers, Reporter(), root=tmp_path, memory=tmp_path / "memory")
    staged = BehindImage(tmp_path / "staged", node, SIZE, DISK)
    said: list[str] = []
    disk = WholeDisk(node, image.manifest, "zero", said.append)
    try:
        async with asyncio.timeout(DEADLINE), tracker() as site:
            seeder = Peer(torrent.data, offer(image, torrent, tmp_path / "seed"), SEEDER, site.url)
            source = Source(
                manifest=image.manifest,
                torrent=torrent,
                site="https://127.0.0.10:8443",
                trackers=(site.url,),
                web_seeds=(),
                deal="",
                address=NODE,
            )
            await download.into(disk, source, staged)
            assert seeder.uploaded > 0
        payload = staged.place / torrent.name / PAYLOAD_FILE
        assert payload.stat().st_size == image.manifest.payload.size
        disk.read_back()
        disk.show()
        disk.close()
        await download.forget()
        assert not staged.place.is_mount()
    finally:
        await download.stop()
        await writers.stop()
    original, written = raw.read_bytes(), (tmp_path / "disk.img").read_bytes()
    assert image.manifest.disk is not None
    unused = merged(image.manifest.disk.unused)
    for start, size in gaps(unused, SIZE):
        assert written[start : start + size] == original[start : start + size]
    assert not any(any(written[start : start + size]) for start, size in unused)
    assert said[0].endswith("that nothing uses were filled with zeros")
