# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk, or the memory for what is served, that is full, read-only or slow."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.comparing import differences
from tests.swarm.peers import Peer, Tracker, offer, tracker
from tests.trees import needs_root

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer.fetch import NewTree, fetch
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.errors import StepFailed
from swarmstrap.reporter import Reporter
from swarmstrap.wire import Event
from swarmstrap_server.images.publish import Published

SEEDER, NODE = "127.0.0.10", "127.0.0.31"
DEADLINE = 90.0
_FRAME_SECONDS = 0.7

pytestmark = needs_root


@contextmanager
def filesystem(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
async def site(image: Published, torrent: Torrent, tmp_path: Path) -> AsyncIterator[Tracker]:
    """A tracker and a seeder."""
    async with tracker() as site:
        seeder = Peer(torrent.data, offer(image, torrent, tmp_path / "seed"), SEEDER, site.url)
        yield site
        assert seeder.uploaded > 0


class Slow(Writers):
    """They write to a disk that takes its time for each frame."""

    disk = asyncio.Lock()

    async def write(self, frame: int) -> None:
        async with self.disk:
            await asyncio.sleep(_FRAME_SECONDS)
            await super().write(frame)


async def deploy(
    site: Tracker, image: Published, torrent: Torrent, writers: Writers, staging: Path, root: Path
) -> float:
    """Seconds from the last piece of the swarm to the last byte on the disk."""
    whole: list[float] = []

    def hear(event: Event) -> None:
        if event.progress == 1.0:
            whole.append(time.monotonic())

    swarm = Swarm(torrent, staging, trackers=(site.url,), address=NODE)
    try:
        async with asyncio.timeout(DEADLINE), swarm:
            await fetch(
                swarm,
                writers,
                torrent,
                image.manifest,
                staging=staging,
                destination=NewTree(root),
                report=Reporter([hear]),
            )
    finally:
        await writers.stop()
    return time.monotonic() - whole[0]


async def test_staging_that_is_full(
    site: Tracker, image: Published, torrent: Torrent, tmp_path: Path
) -> None:
    with filesystem(tmp_path / "staging", "size=8m") as staging:
        (tmp_path / "root").mkdir()
        with pytest.raises(StepFailed) as caught:
            await deploy(site, image, torrent, Writers.start(1), staging, tmp_path / "root")
    assert "No space left on device" in caught.value.message
    assert caught.value.hint == "look whether the staging area is full"


@pytest.mark.parametrize(
    ("options", "reason"),
    [("size=16m", "No space left on device"), ("ro", "Read-only file system")],
)
async def test_a_target_that_takes_no_more(
    site: Tracker, image: Published, torrent: Torrent, tmp_path: Path, options: str, reason: str
) -> None:
    with filesystem(tmp_path / "root", options) as root:
        with pytest.raises(StepFailed) as caught:
            await deploy(site, image, torrent, Writers.start(1), tmp_path / "staging", root)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


async def test_a_slow_target_does_not_hold_up_the_swarm(
    site: Tracker, image: Published, torrent: Torrent, place: Path, tmp_path: Path
) -> None:
    root = place / "slow"
    root.mkdir()
    writers = Slow.start(1)
    behind = await deploy(site, image, torrent, writers, tmp_path / "staging", root)
    assert behind > 3 * _FRAME_SECONDS
    assert differences(place / "source", root) == []
