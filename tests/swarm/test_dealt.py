# SPDX-License-Identifier: GPL-2.0-or-later
"""The server deals over HTTP, the nodes trade; each address of 127/8 is a machine."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.swarm.peers import (
    DEADLINE,
    Peer,
    fetch,
    make_files,
    make_torrent,
    same,
    slow_web_seed,
    tracker,
)

from swarmstrap.effects.transfer.dealt import Dealt
from swarmstrap.effects.transfer.swarm import Patience, Swarm, Torrent, load
from swarmstrap_server.swarm.dealer import Dealer, Pieces

SEEDER = "127.0.0.20"
INFOHASH = "11" * 32


@pytest.fixture
def torrent(folder: Path) -> Torrent:
    return load(*make_torrent(folder))


class Turns:
    """What the dealer said of its deals."""

    def __init__(self) -> None:
        self.dealing: list[bool] = []

    def __call__(self, infohash: str, dealing: bool, nodes: tuple[tuple[str, int], ...]) -> None:
        assert infohash == INFOHASH
        self.dealing.append(dealing)


@asynccontextmanager
async def dealing(
    folder: Path, torrent: Torrent, *, rate: int = 0
) -> AsyncIterator[tuple[str, Dealer, Turns]]:
    turns = Turns()
    dealer = Dealer(rate, turns)
    dealer.offer({INFOHASH: pieces_of(folder, torrent)})
    runner = web.AppRunner(dealer.app(), handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, SEEDER, 0).start()
    yield f"http://{SEEDER}:{runner.addresses[0][1]}/deal/{INFOHASH}", dealer, turns
    await runner.cleanup()


def pieces_of(folder: Path, torrent: Torrent) -> Pieces:
    return Pieces(
        tuple((folder / path, size) for path, size in torrent.files), torrent.piece_length
    )


def node(
    torrent: Torrent, folder: Path, address: str, deal: str, url: str, *, everything: bool = True
) -> Swarm:
    return Swarm(
        torrent,
        folder,
        trackers=(url,),
        seeders=frozenset({SEEDER}),
        deal=deal,
        address=address,
        everything=everything,
    )


async def until(seen: list[bool], wanted: list[bool]) -> None:
    async with asyncio.timeout(10):
        while seen != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_http_is_left_alone_when_the_server_deals_again(
    folder: Path, torrent: Torrent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        slow_web_seed(folder, 200_000) as web_seed,
        dealing(folder, torrent) as (url, dealer, _),
        asyncio.timeout(DEADLINE),
    ):
        dealer.offer({})
        alone = Swarm(
            torrent,
            tmp_path,
            web_seeds=(web_seed,),
            deal=url,
            address="127.0.0.21",
            patience=Patience(help=0.5),
        )
        async with alone:
            pieces = alone.pieces()
            await anext(pieces)
            dealer.offer({INFOHASH: pieces_of(folder, torrent)})
            async for _ in pieces:
                pass
    assert same(folder, tmp_path)
    assert "the swarm goes on: no more HTTP" in caplog.text


async def test_one_copy_leaves_the_server_and_every_node_has_all(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    addresses = ("127.0.0.21", "127.0.0.22", "127.0.0.23")
    total = sum(size for _, size in torrent.files)
    async with (
        tracker() as site,
        dealing(folder, torrent, rate=4_000_000) as (url, dealer, turns),
        AsyncExitStack() as stack,
    ):
        nodes = [
            await stack.enter_async_context(
                node(torrent, tmp_path / address, address, url, site.url)
            )
            for address in addresses
        ]
        await asyncio.gather(*map(fetch, nodes))
        assert dealer.sent == {INFOHASH: total}
        assert turns.dealing == [True, False]
        assert sum(one.received.from_seeder for one in nodes) == total
        for one, address in zip(nodes, addresses, strict=True):
            assert same(folder, tmp_path / address)
            assert one.received.total == total
            assert one.received.refused == 0


async def test_who_wants_more_later_is_dealt_it_later(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    async with tracker() as site, dealing(folder, torrent) as (url, dealer, turns):
        one = node(torrent, tmp_path / "n", "127.0.0.21", url, site.url, everything=False)
        async with one:
            await fetch(one)
            index = dealer.sent[INFOHASH]
            assert index == torrent.files[0][1]
            await until(turns.dealing, [True, False])
            one.want([torrent.pieces - 1])
            await fetch(one)
            assert dealer.sent[INFOHASH] == index + torrent.files[1][1] % torrent.piece_length


async def test_bad_pieces_of_a_deal_are_refused_and_come_from_the_swarm(
    folder: Path, torrent: Torrent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    make_files(tmp_path / "bad")
    async with tracker() as site, dealing(tmp_path / "bad", torrent) as (url, _, _):
        async with node(torrent, tmp_path / "n", "127.0.0.21", url, site.url) as one:
            async with asyncio.timeout(DEADLINE):
                while not one.received.refused:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert one.received.total == 0
            seeder = Peer(torrent.data, folder, SEEDER, site.url)
            await fetch(one)
        assert seeder.uploaded > 0
    assert same(folder, tmp_path / "n")


async def test_a_server_that_does_not_deal_changes_nothing(
    folder: Path, torrent: Torrent, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind((SEEDER, 0))
        nowhere = f"http://{SEEDER}:{closed.getsockname()[1]}/deal/{INFOHASH}"
        async with tracker() as site:
            seeder = Peer(torrent.data, folder, SEEDER, site.url)
            async with node(torrent, tmp_path / "n", "127.0.0.21", nowhere, site.url) as one:
                await fetch(one)
    assert same(folder, tmp_path / "n")
    assert seeder.uploaded > 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (INFOHASH[2:], b"", 404),
        (f"{INFOHASH}?port=6881", b"too short", 400),
        (INFOHASH, None, 400),
        (f"{INFOHASH}?port=70000", None, 400),
    ],
    ids=["unknown torrent", "sets of another size", "no port", "a port that is none"],
)
async def test_nonsense_is_answered_in_one_line(
    folder: Path, torrent: Torrent, path: str, body: bytes | None, status: int
) -> None:
    whole = bytes(2 * -(-torrent.pieces // 8))
    async with dealing(folder, torrent) as (url, _, turns), aiohttp.ClientSession() as session:
        base = url.rpartition("/")[0]
        async with session.post(f"{base}/{path}", data=whole if body is None else body) as answer:
            assert answer.status == status
            assert (await answer.text()).count("\n") == 1
    assert turns.dealing == []


async def test_nodes_hear_when_every_piece_has_left_the_server(
    folder: Path, torrent: Torrent
) -> None:
    dealt: list[int] = []
    nothing = bytes(-(-torrent.pieces // 8))
    everything = ((1 << torrent.pieces) - 1).to_bytes(len(nothing), "little")

    def take(piece: int, data: bytes) -> bool:
        dealt.append(piece)
        return False

    async with dealing(folder, torrent) as (url, dealer, _):
        heard = {"127.0.0.21": asyncio.Event(), "127.0.0.22": asyncio.Event()}
        sent: list[int] = []

        def all_out(address: str) -> None:
            sent.append(dealer.sent[INFOHASH])
            heard[address].set()

        parts = [
            Dealt(
                url,
                address,
                6881,
                most=1,
                sets=lambda: nothing + everything,
                take=take,
                all_out=partial(all_out, address),
            )
            for address in heard
        ]
        for part in parts:
            part.join()
        for out in heard.values():
            await asyncio.wait_for(out.wait(), DEADLINE)
        for part in parts:
            part.leave()
    size = sum(size for _, size in torrent.files)
    # The last one may be on its way to the other node.
    assert sent[0] >= size - torrent.piece_length
    assert sent[-1] == size
    assert sorted(dealt) == list(range(torrent.pieces))
