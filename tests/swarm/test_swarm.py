# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes among real peers: every piece comes, from whomever, in any order, and none that is bad."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.swarm.peers import (
    DEADLINE,
    INDEX_SIZE,
    NAME,
    PAYLOAD_SIZE,
    PIECE,
    Peer,
    fetch,
    make_files,
    make_torrent,
    same,
    slow_web_seed,
    tracker,
    web_seed,
)

from swarmstrap.effects.transfer.swarm import Patience, Swarm, Torrent, load
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.ledger import piece_sizes

TOTAL = INDEX_SIZE + PAYLOAD_SIZE
SEEDER = "127.0.0.10"


@pytest.fixture
def torrent(folder: Path) -> Torrent:
    return load(*make_torrent(folder))


def test_only_the_torrent_that_the_manifest_names(folder: Path) -> None:
    data, infohash = make_torrent(folder)
    torrent = load(data, infohash)
    assert torrent.files == (
        (f"{NAME}/index.zst", INDEX_SIZE),
        (f"{NAME}/root.tar.zst", PAYLOAD_SIZE),
    )
    assert (torrent.name, torrent.piece_length) == (NAME, PIECE)
    with pytest.raises(Untrusted, match=r"the signed manifest names 0000000000000000"):
        load(data, "0" * 64)
    with pytest.raises(Untrusted, match="not a torrent"):
        load(b"nonsense", infohash)


async def test_nodes_feed_each_other(folder: Path, torrent: Torrent, tmp_path: Path) -> None:
    addresses = ("127.0.0.21", "127.0.0.22")
    async with tracker() as site, AsyncExitStack() as stack:
        seeder = Peer(torrent.data, folder, SEEDER, site.url)
        seeder.handle.set_upload_limit(4_000_000)
        nodes = [
            await stack.enter_async_context(
                Swarm(
                    torrent,
                    tmp_path / address,
                    trackers=(site.url,),
                    seeders=frozenset({SEEDER}),
                    address=address,
                )
            )
            for address in addresses
        ]
        arrived = await asyncio.gather(*(fetch(node) for node in nodes))
        for node, pieces, address in zip(nodes, arrived, addresses, strict=True):
            assert same(folder, tmp_path / address)
            assert sorted(pieces) == list(range(torrent.pieces))
            assert pieces != sorted(pieces)
            assert node.received.total == TOTAL
            assert node.received.from_peers > 0
            assert node.received.from_seeder > 0
            assert node.received.refused == 0
        assert sum(node.received.from_seeder for node in nodes) < 1.9 * TOTAL
        assert sum(node.seeding().uploaded for node in nodes) > 0


async def test_bad_pieces_are_refused_and_the_image_arrives_whole(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    make_files(tmp_path / "bad")
    told: list[str] = []
    banned = asyncio.Event()

    def tell(line: str) -> None:
        told.append(line)
        if line == "peer 127.0.0.66 banned: it had a part in bad pieces":
            banned.set()

    async with tracker() as site:
        liar = Peer(torrent.data, tmp_path / "bad", "127.0.0.66", site.url, honest=False)
        node = Swarm(
            torrent,
            tmp_path / "node",
            trackers=(site.url,),
            seeders=frozenset({SEEDER}),
            address="127.0.0.21",
            tell=tell,
        )
        async with node, asyncio.timeout(DEADLINE):
            await banned.wait()
            assert node.received.total == 0
            seeder = Peer(torrent.data, folder, SEEDER, site.url)
            await fetch(node)
            assert same(folder, tmp_path / "node")
            assert node.received.from_seeder == TOTAL
            assert node.received.refused > 0
            assert liar.uploaded > 0
            assert seeder.uploaded > 0
    assert any(line.endswith("refused: its hash does not hold") for line in told)


async def test_a_liar_among_honest_peers_does_not_stop_the_swarm(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    make_files(tmp_path / "bad")
    told: list[str] = []
    async with tracker() as site:
        peers = [
            Peer(torrent.data, tmp_path / "bad", "127.0.0.66", site.url, honest=False),
            Peer(torrent.data, folder, SEEDER, site.url),
        ]
        peers[1].handle.set_upload_limit(4_000_000)
        node = Swarm(
            torrent,
            tmp_path / "node",
            trackers=(site.url,),
            seeders=frozenset({SEEDER}),
            address="127.0.0.21",
            tell=told.append,
        )
        async with node:
            await fetch(node)
            assert same(folder, tmp_path / "node")
            assert node.received.from_seeder == TOTAL
        assert any("refused" in line for line in told)
        assert peers[1].uploaded > 0


async def test_a_swarm_that_stands_still_gets_help_from_the_web_seed(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    async with web_seed(folder) as url:
        node = Swarm(
            torrent,
            tmp_path / "node",
            web_seeds=(url,),
            seeders=frozenset({"127.0.0.1"}),
            address="127.0.0.21",
            patience=Patience(help=0.5),
        )
        async with node:
            await fetch(node)
            assert same(folder, tmp_path / "node")
            assert node.received.from_seeder == TOTAL


async def test_http_is_left_alone_when_a_seed_serves_again(
    folder: Path, torrent: Torrent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told: list[str] = []
    async with tracker() as site, slow_web_seed(folder, 200_000) as url:
        node = Swarm(
            torrent,
            tmp_path / "node",
            trackers=(site.url,),
            web_seeds=(url,),
            seeders=frozenset({SEEDER}),
            address="127.0.0.21",
            tell=told.append,
            patience=Patience(help=0.5),
        )
        async with node, asyncio.timeout(DEADLINE):
            pieces = node.pieces()
            await anext(pieces)
            seeder = Peer(torrent.data, folder, SEEDER, site.url)
            seeder.handle.set_upload_limit(2_000_000)
            async for _ in pieces:
                pass
            assert same(folder, tmp_path / "node")
            assert node.received.from_seeder > TOTAL / 2
    [line] = told
    assert line.endswith("asking the tracker and the server over HTTP")
    assert "the swarm goes on: no more HTTP" in caplog.text


async def test_what_an_earlier_try_left_is_checked_and_not_fetched_again(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    def join() -> Swarm:
        return Swarm(
            torrent,
            tmp_path / "node",
            trackers=(site.url,),
            seeders=frozenset({SEEDER}),
            address="127.0.0.21",
        )

    async with tracker() as site:
        seeder = Peer(torrent.data, folder, SEEDER, site.url)
        seeder.handle.set_upload_limit(4_000_000)
        async with join() as node, asyncio.timeout(DEADLINE):
            pieces = node.pieces()
            some = [await anext(pieces) for _ in range(torrent.pieces // 2)]
        before = node.received.total
        spoilt = max(some)
        with (tmp_path / "node" / NAME / "root.tar.zst").open("r+b") as payload:
            payload.seek((spoilt - len(piece_sizes((INDEX_SIZE,), PIECE))) * PIECE)
            payload.write(bytes(100))
        async with join() as node:
            assert sorted(await fetch(node)) == list(range(torrent.pieces))
            assert node.received.total == TOTAL
            assert before - PIECE <= node.received.kept < TOTAL
            assert node.received.from_seeder >= PIECE
        assert same(folder, tmp_path / "node")
        assert seeder.uploaded < 1.5 * TOTAL


async def test_a_swarm_without_anybody_is_given_up_with_the_reason(
    torrent: Torrent, tmp_path: Path
) -> None:
    node = Swarm(
        torrent,
        tmp_path / "node",
        trackers=("http://127.0.0.1:9/announce",),
        address="127.0.0.21",
        patience=Patience(help=0.5, give_up=2.0),
    )
    async with node:
        with pytest.raises(StepFailed, match=r"nothing came .* \(0 peers; .*refused.*\)"):
            await fetch(node)


async def test_a_full_staging_area_is_an_error_that_says_so(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / NAME).write_text("not a directory")
    async with tracker() as site:
        seeder = Peer(torrent.data, folder, SEEDER, site.url)
        node = Swarm(torrent, full, trackers=(site.url,), address="127.0.0.21")
        async with node:
            with pytest.raises(StepFailed, match=r"the swarm stopped: .*Not a directory"):
                await fetch(node)
        assert seeder.uploaded < TOTAL
