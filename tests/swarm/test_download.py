# SPDX-License-Identifier: GPL-2.0-or-later
"""An image staged on the disk that it is written to, and another try after a failure."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.comparing import differences
from tests.swarm.peers import Peer, offer, tracker
from tests.trees import needs_root

from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer import download as downloading
from swarmstrap.effects.transfer.download import Download, Source
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.errors import Refused, StepFailed
from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap.reporter import Reporter
from swarmstrap.wire import Release, Seeding
from swarmstrap_server.images.publish import Published

SEEDER, NODE, PEER = "127.0.0.10", "127.0.0.31", "127.0.0.32"
DEADLINE = 90.0

pytestmark = needs_root


def mount(image: Path, target: Path) -> None:
    subprocess.run(["mount", "-o", "loop", image, target], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A new ext4 on a loop device, mounted."""
    image, target = tmp_path / "disk.img", tmp_path / "target"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", image], check=True)
    mount(image, target)
    (target / "lost+found").rmdir()
    yield target
    filesystems.release(target)


def source_of(image: Published, torrent: Torrent, announce: str) -> Source:
    return Source(
        manifest=image.manifest,
        torrent=torrent,
        site="https://127.0.0.10:8443",
        trackers=(announce,),
        web_seeds=(),
        deal="",
        address=NODE,
    )


async def test_staged_on_the_target_it_is_served_and_then_forgotten(
    place: Path,
    image: Published,
    torrent: Torrent,
    disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloading, "_UNWANTED_SECONDS", 4.0)
    writers, told = Writers.start(2), list[str]()
    report = Reporter([lambda event: told.append(event.description)])
    download = Download(writers, report, root=disk, memory=tmp_path / "memory")
    async with asyncio.timeout(DEADLINE), tracker() as site:
        seeder = Peer(torrent.data, offer(image, torrent, tmp_path / "seed"), SEEDER, site.url)
        await download.fetch(source_of(image, torrent, site.url), "target")
        staged = disk / ".swarmstrap-staging" / torrent.name / PAYLOAD_FILE
        assert staged.stat().st_size == image.manifest.payload.size
        assert staged.parent.parent.stat().st_mode & 0o077 == 0
        seeder.session.pause()
        given = await seed_to_a_peer(download, torrent, site.url, tmp_path / "peer")
        assert given >= image.manifest.payload.size
        assert told[-1] == "released: no word of the server, and no peer takes anything"
        await download.forget()
    await writers.stop()
    await asyncio.to_thread(filesystems.settle, disk)
    assert not disk.is_mount()
    await asyncio.to_thread(mount, tmp_path / "disk.img", disk)
    assert differences(place / "source", disk) == []


async def seed_to_a_peer(download: Download, torrent: Torrent, announce: str, folder: Path) -> int:
    """Seed for a server that knows nothing of this node any more, until another node, the only one
    to say that it is needed, has everything; the bytes that were given.
    """
    given = 0

    async def forgetful(seeding: Seeding) -> Release:
        nonlocal given
        given = seeding.uploaded
        raise Refused("session is not one of this server")

    async def fetch() -> None:
        async with Swarm(torrent, folder, trackers=(announce,), address=PEER) as swarm:
            async for _ in swarm.pieces():
                pass

    await asyncio.gather(download.seed(DEADLINE, forgetful), fetch())
    return given


async def test_after_a_failure_everything_is_tried_again(
    place: Path, image: Published, torrent: Torrent, tmp_path: Path
) -> None:
    root, memory = place / "again", tmp_path / "memory"
    root.mkdir()
    (root / "bin").write_text("in the way")
    writers = Writers.start(2)
    download = Download(writers, Reporter(), root=root, memory=memory)
    async with asyncio.timeout(DEADLINE), tracker() as site:
        seeder = Peer(torrent.data, offer(image, torrent, tmp_path / "seed"), SEEDER, site.url)
        source = source_of(image, torrent, site.url)
        with pytest.raises(StepFailed, match="bin"):
            await download.fetch(source, "target")
        await download.stop()
        shutil.rmtree(root)
        root.mkdir()
        await download.fetch(source, "memory")
        assert memory.is_mount()
        assert seeder.uploaded > 0
        await download.forget()
        await download.stop()
    await writers.stop()
    download.memory.remove()
    assert not memory.is_mount()
    assert differences(place / "source", root) == []
