# SPDX-License-Identifier: GPL-2.0-or-later
"""From a published image through a swarm to a tree on disk, with bad data on the way."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.comparing import differences
from tests.swarm.peers import Peer, offer, tracker
from tests.trees import needs_root

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer.fetch import NewTree, fetch, seeder_addresses, writer_count
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.errors import StepFailed
from swarmstrap.reporter import Reporter
from swarmstrap.wire import Event
from swarmstrap_server.images.publish import Published

SEEDER = "127.0.0.10"
DEADLINE = 90.0

pytestmark = needs_root


async def test_two_nodes_and_a_liar_end_with_the_same_tree(
    place: Path, image: Published, torrent: Torrent, tmp_path: Path
) -> None:
    addresses = ("127.0.0.31", "127.0.0.32")
    writers = [Writers.start(1) for _ in addresses]
    events: dict[str, list[Event]] = {address: [] for address in addresses}
    async with tracker() as site, AsyncExitStack() as stack:
        good = offer(image, torrent, tmp_path / "good")
        bad = offer(image, torrent, tmp_path / "bad", corrupt=True)
        seeder = Peer(torrent.data, good, SEEDER, site.url)
        seeder.handle.set_upload_limit(12_000_000)
        liar = Peer(torrent.data, bad, "127.0.0.66", site.url, honest=False)
        fetching = []
        for address, hands in zip(addresses, writers, strict=True):
            root = place / f"root-{address}"
            root.mkdir()
            report = Reporter([events[address].append])
            swarm = await stack.enter_async_context(
                Swarm(
                    torrent,
                    tmp_path / address,
                    trackers=(site.url,),
                    seeders=frozenset({SEEDER}),
                    address=address,
                    tell=report.warn,
                )
            )
            staging = tmp_path / address
            fetching.append(
                fetch(
                    swarm,
                    hands,
                    torrent,
                    image.manifest,
                    staging=staging,
                    destination=NewTree(root),
                    report=report,
                )
            )
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*fetching)
        assert liar.uploaded > 0
    for address, hands in zip(addresses, writers, strict=True):
        await hands.stop()
        assert differences(place / "source", place / f"root-{address}") == []
        last = [e for e in events[address] if e.kind == "progress"][-1]
        assert last.progress == 1.0
        total = image.manifest.index.size + image.manifest.payload.size
        assert (last.from_seeder or 0) + (last.from_peers or 0) == total
        assert last.from_peers
    told = [e.description for heard in events.values() for e in heard if e.result == "warning"]
    assert any(line.endswith("refused: its hash does not hold") for line in told)


async def test_a_target_that_refuses_ends_the_fetch_at_once(
    image: Published, torrent: Torrent, tmp_path: Path
) -> None:
    writers = Writers.start(1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "bin").write_text("in the way")
    async with tracker() as site:
        good = offer(image, torrent, tmp_path / "good")
        seeder = Peer(torrent.data, good, SEEDER, site.url)
        swarm = Swarm(torrent, tmp_path / "node", trackers=(site.url,), address="127.0.0.31")
        async with swarm, asyncio.timeout(DEADLINE):
            with pytest.raises(StepFailed, match="bin"):
                await fetch(
                    swarm,
                    writers,
                    torrent,
                    image.manifest,
                    staging=tmp_path / "node",
                    destination=NewTree(tmp_path / "root"),
                    report=Reporter(),
                )
        assert seeder.uploaded > 0
    await writers.stop()


def test_seeders_are_known_by_address() -> None:
    urls = ("https://127.0.0.1:8443", "http://127.0.0.1/announce", "http://[::1]:80/images/")
    assert seeder_addresses(urls) == {"127.0.0.1", "::1"}


def test_memory_bounds_the_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    gib = 1 << 30
    assert [writer_count(memory) for memory in (0, gib // 8, gib, 16 * gib)] == [64, 1, 6, 64]
