# SPDX-License-Identifier: GPL-2.0-or-later
"""A torrent that is what the manifest names, of files that are not: nothing is written of them."""

from pathlib import Path

import pytest
from tests.swarm.peers import Peer, tracker
from tests.trees import needs_root

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer import fetch
from swarmstrap.effects.transfer.swarm import Swarm, Torrent, load
from swarmstrap.errors import StepFailed
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap.reporter import Reporter
from swarmstrap_server.images.publish import Published
from swarmstrap_server.images.torrents import make_torrent

SEEDER, NODE = "127.0.0.10", "127.0.0.31"

pytestmark = needs_root


def republish(image: Published, folder: Path, spoilt: str, content: bytes) -> Torrent:
    """The image with other bytes in one file, as a torrent that holds."""
    (folder / "image").mkdir(parents=True)
    for name in (INDEX_FILE, PAYLOAD_FILE):
        data = content if name == spoilt else (image.directory / name).read_bytes()
        (folder / "image" / name).write_bytes(data)
    made = make_torrent(folder / "image", "image")
    return load(made.data, made.infohash)


async def fetched(image: Published, torrent: Torrent, folder: Path, root: Path) -> None:
    writers = Writers.start(1)
    try:
        async with tracker() as site:
            seeder = Peer(torrent.data, folder, SEEDER, site.url)
            async with Swarm(torrent, folder / "n", trackers=(site.url,), address=NODE) as swarm:
                await fetch.fetch(
                    swarm,
                    writers,
                    torrent,
                    image.manifest,
                    staging=folder / "n",
                    destination=fetch.NewTree(root),
                    report=Reporter(),
                )
        assert seeder.uploaded > 0
    finally:
        await writers.stop()


async def test_a_payload_that_is_not_what_the_publisher_signed(
    image: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_READABLE_SECONDS", 1.0)
    data = bytearray((image.directory / PAYLOAD_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    torrent = republish(image, tmp_path / "seed", PAYLOAD_FILE, bytes(data))
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(StepFailed, match=r"unreadable for 1 s: .* does not have"):
        await fetched(image, torrent, tmp_path / "seed", root)


async def test_an_index_that_is_cut_short_is_not_read(
    image: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_READABLE_SECONDS", 1.0)
    short = (image.directory / INDEX_FILE).read_bytes()[:-100]
    torrent = republish(image, tmp_path / "seed", INDEX_FILE, short)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(StepFailed, match=r"unreadable for 1 s: .*index"):
        await fetched(image, torrent, tmp_path / "seed", root)
    assert list(root.iterdir()) == []
