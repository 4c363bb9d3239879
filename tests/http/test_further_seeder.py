# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap seed`, the real process: it gets the images of a server, verifies and seeds them."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import libtorrent as lt
import pytest
from tests.http.conftest import ADDRESS, Live, free_ports, serving
from tests.http.test_swarm_server import SECONDS, announce, peer, take_a_job, until

from swarmstrap_server.images.library import FILES
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.paths import SitePaths


@contextlib.asynccontextmanager
async def seed(server: str, folder: Path, port: int, signers: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "swarmstrap_server.cli", "seed", "--server", server),
        *("--signers", str(signers), "--port", str(port), str(folder)),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def said(stream: asyncio.StreamReader | None, words: str) -> str:
    assert stream is not None
    async with asyncio.timeout(SECONDS):
        while line := (await stream.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"nothing said of {words!r}")


async def ended(process: Process) -> int:
    async with asyncio.timeout(SECONDS):
        return await process.wait()


@pytest.fixture
async def live(site: SitePaths) -> AsyncIterator[Live]:
    """A server whose own seeder does not run, and which knows of another on the next port."""
    (port,) = free_ports(1)
    with site.settings.open("a") as file:
        file.write(f"swarm: {{seeders: [{{address: {ADDRESS}, port: {port}}}]}}\n")
    async with serving(site) as live:
        yield live


def port_of(live: Live) -> int:
    return live.services.deployments.site.settings.swarm.seeders[0].port


async def test_it_seeds_what_the_server_publishes(live: Live, tmp_path: Path) -> None:
    folder, tracker = tmp_path / "kept", live.services.tracker
    (infohash,) = live.services.published
    async with seed(live.boot, folder, port_of(live), live.paths.allowed_signers) as process:
        assert f":{port_of(live)} images=0" in await said(process.stdout, "ready seeder=")
        await until(
            "the seeder's word that it has all", lambda: tracker.further_seeders(infohash) == 1
        )
        for name in FILES:
            published = live.paths.images / "tiny" / "1" / name
            assert (folder / "tiny" / "1" / name).read_bytes() == published.read_bytes()
        await take_a_job(live)
        # The first that comes is told of the server's own seeder, the next of the other.
        await announce(live, bytes.fromhex(infohash)[:20], 5001)
        session, torrent = peer(live, tmp_path / "node", free_ports(1)[0])
        await until("the image", lambda: torrent.status().is_seeding)
        del session
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
    await until("its farewell", lambda: tracker.further_seeders(infohash) == 0)


async def test_what_it_has_it_seeds_without_the_server(live: Live, tmp_path: Path) -> None:
    published = live.paths.images / "tiny" / "1"
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "1").symlink_to(published)
    port, nowhere = port_of(live), f"http://{ADDRESS}:{free_ports(1)[0]}"
    async with seed(nowhere, tmp_path, port, live.paths.allowed_signers) as process:
        assert "images=1" in await said(process.stdout, "ready seeder=")
        assert "Connection refused" in await said(process.stderr, nowhere)
        parameters = lt.session_params()
        session = lt.session(parameters)
        torrent = lt.load_torrent_file(str(published / "image.torrent"))
        torrent.save_path = str(tmp_path / "node")
        handle = session.add_torrent(torrent)
        handle.connect_peer((ADDRESS, port))
        await until("the image", lambda: handle.status().is_seeding)
        del session


async def test_what_is_signed_by_nobody_known_is_not_kept(live: Live, tmp_path: Path) -> None:
    signers = tmp_path / "allowed_signers"
    signers.write_text(Key.generate(tmp_path / "other").allowed_signers())
    async with seed(live.boot, tmp_path / "kept", port_of(live), signers) as process:
        assert "tiny:1: " in await said(process.stderr, "WARNING")
        assert not list((tmp_path / "kept").glob("*/*"))
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0


@pytest.mark.parametrize(
    ("server", "signers", "line"),
    [
        ("http://127.0.0.1:9", "nowhere", "swarmstrap: there is no "),
        ("127.0.0.1:9", "nowhere", "swarmstrap: not a server's URL: '127.0.0.1:9'"),
    ],
)
async def test_wrong_words_end_it_in_one_line(
    server: str, signers: str, line: str, tmp_path: Path
) -> None:
    async with seed(server, tmp_path, 6881, tmp_path / signers) as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith(line)
    assert errors.count(b"\n") == 1
