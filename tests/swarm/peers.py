# SPDX-License-Identifier: GPL-2.0-or-later
"""A torrent, a tracker and plain libtorrent peers; each address of 127/8 is a machine."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import libtorrent as lt
from aiohttp import web

from swarmstrap import tuning
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.publish import Published

NAME = "debian-1"
INDEX_SIZE, PAYLOAD_SIZE = 100_000, 6_000_001
PIECE = 64 * 1024
DEADLINE = 60.0


def make_files(folder: Path) -> Path:
    """The two files of an image in `folder`/NAME, of bytes that do not repeat."""
    home = folder / NAME
    home.mkdir(parents=True)
    (home / "index.zst").write_bytes(os.urandom(INDEX_SIZE))
    (home / "root.tar.zst").write_bytes(os.urandom(PAYLOAD_SIZE))
    return home


def make_torrent(folder: Path) -> tuple[bytes, str]:
    """A private v2 torrent of `folder`/NAME, and its infohash in hex."""
    files = [
        lt.create_file_entry(f"{NAME}/{name}", (folder / NAME / name).stat().st_size)
        for name in ("index.zst", "root.tar.zst")
    ]
    creator = lt.create_torrent(files, PIECE, lt.create_torrent.v2_only)
    creator.set_priv(True)
    lt.set_piece_hashes(creator, os.fspath(folder))
    data = lt.bencode(creator.generate())
    info = lt.load_torrent_buffer(data).ti
    assert info is not None
    return data, info.info_hashes().v2.to_bytes().hex()


def same(folder: Path, other: Path) -> bool:
    return all(
        (folder / NAME / name).read_bytes() == (other / NAME / name).read_bytes()
        for name in ("index.zst", "root.tar.zst")
    )


async def fetch(swarm: Swarm) -> list[int]:
    async with asyncio.timeout(DEADLINE):
        return [piece async for piece in swarm.pieces()]


def offer(image: Published, torrent: Torrent, folder: Path, *, corrupt: bool = False) -> Path:
    """A folder to seed from; when corrupt, every piece of the payload has a wrong byte."""
    folder.mkdir()
    if not corrupt:
        (folder / torrent.name).symlink_to(image.directory)
        return folder
    (folder / torrent.name).mkdir()
    for path, _ in torrent.files:
        data = bytearray((image.directory / Path(path).name).read_bytes())
        if path.endswith(PAYLOAD_FILE):
            for place in range(0, len(data), torrent.piece_length):
                data[place] ^= 0xFF
        (folder / path).write_bytes(data)
    return folder


class Peer:
    """A peer at `address` that has every byte of `folder`, or only says so; or, not `seeding`,
    fetches what it lacks.
    """

    def __init__(
        self,
        data: bytes,
        folder: Path,
        address: str,
        tracker: str,
        *,
        honest: bool = True,
        seeding: bool = True,
    ) -> None:
        parameters = lt.session_params()
        parameters.settings = {
            **tuning.node(address, 6881),
            "alert_mask": lt.alert_category.error,
            # A libtorrent that looks at what it is about to send keeps bad data to itself.
            "disable_hash_checks": not honest,
        }
        self.session = lt.session(parameters)
        torrent = lt.load_torrent_buffer(data)
        torrent.save_path = os.fspath(folder)
        torrent.trackers = [tracker]
        flags = lt.torrent_flags
        torrent.flags = flags.seed_mode if seeding else flags.update_subscribe
        self.handle = self.session.add_torrent(torrent)

    @property
    def uploaded(self) -> int:
        return self.handle.status(0).total_payload_upload


class Tracker:
    """BEP 3 with BEP 23 answers: everybody hears of everybody who came before."""

    def __init__(self) -> None:
        self.peers: dict[str, int] = {}
        self.url = ""

    async def announce(self, request: web.Request) -> web.Response:
        address = request.remote or ""
        others = b"".join(
            socket.inet_aton(peer) + port.to_bytes(2, "big")
            for peer, port in self.peers.items()
            if peer != address
        )
        self.peers[address] = int(request.query["port"])
        if request.query.get("event") == "stopped":
            self.peers.pop(address)
        return web.Response(body=b"d8:intervali5e5:peers%d:%se" % (len(others), others))


@asynccontextmanager
async def tracker() -> AsyncIterator[Tracker]:
    tracker = Tracker()
    app = web.Application()
    app.router.add_get("/announce", tracker.announce)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tracker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/announce"
    yield tracker
    await runner.cleanup()


@asynccontextmanager
async def slow_web_seed(folder: Path, rate: int) -> AsyncIterator[str]:
    """`folder` over plain HTTP with Range, at `rate` bytes a second for each request."""
    step = 0.05

    async def give(request: web.Request) -> web.StreamResponse:
        data = (folder / request.match_info["path"]).read_bytes()
        part = data[request.http_range]
        first = request.http_range.start or 0
        given = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        response = web.StreamResponse(status=206, headers={"Content-Range": given})
        response.content_length = len(part)
        await response.prepare(request)
        for begin in range(0, len(part), int(rate * step)):
            await response.write(part[begin : begin + int(rate * step)])
            await asyncio.sleep(step)
        return response

    app = web.Application()
    app.router.add_get("/images/{path:.*}", give)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/images/"
    await runner.cleanup()


@asynccontextmanager
async def web_seed(folder: Path) -> AsyncIterator[str]:
    """`folder` over plain HTTP with Range, as the server's boot listener gives it."""
    app = web.Application()
    app.router.add_static("/images/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/images/"
    await runner.cleanup()
