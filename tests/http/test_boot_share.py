# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel and initramfs from nodes that were booted before: real server, real agents, loopback."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.http.conftest import ADDRESS, INITRAMFS, MAC, Live, free_ports, register
from tests.http.node import Lab
from tests.http.spoiled import WHOLE, add_hook

from swarmstrap.effects import host
from swarmstrap.effects.http import NodeApi
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer import bootshare
from swarmstrap.effects.transfer.bootshare import Ask, BootShare
from swarmstrap.effects.transfer.staged import InTree
from swarmstrap.units import MiB
from swarmstrap.wire import Passing, PassOn
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.netboot import sharing
from swarmstrap_server.site.paths import SitePaths

DEADLINE = 30.0
NODES = tuple(f"n{number}" for number in range(1, 9))
KERNEL = b"kernel"
SHA256 = hashlib.sha256(INITRAMFS).hexdigest()


@pytest.fixture
def site(site: SitePaths) -> SitePaths:
    """Eight nodes to boot, passing on to firmware that compares digests, two copies at a time."""
    with site.settings.open("a") as settings:
        settings.write("swarm: {boot_peers: checked, boot_copies: 2}\n")
    with (site.root / "nodes" / "lab.yaml").open("a") as nodes:
        for number in range(4, 9):
            nodes.write(f"- {{name: n{number}, mac: 52:54:00:00:00:0{number}}}\n")
    return site


@contextlib.asynccontextmanager
async def agent(live: Live, mac: str = MAC) -> AsyncIterator[NodeApi]:
    """The node API of an armed node that took its job."""
    async with NodeApi(live.node, live.paths.ca_certificate, retrying=lambda *_: None) as api:
        registered = await api.register(register(mac), patience=0)
        job = await api.job(registered.token, patience=0)
        assert job.passes_on
        yield api


class Peer(BootShare):
    """A node's own, on a port of its own; `place` is a folder."""

    def __init__(self, ask: Ask, place: Path, *, room: int = 64 * MiB) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        (port,) = free_ports(1)
        tell = self.told.put_nowait
        super().__init__(InTree(place), ask, address=ADDRESS, port=port, room=room, tell=tell)

    async def serves(self) -> None:
        """Start, and wait until it does."""
        self.start()
        async with asyncio.timeout(DEADLINE):
            assert await self.told.get() == "passing the installer on to nodes that boot later"


def arm(live: Live, *nodes: str) -> None:
    live.services.deployments.arm(Arm(nodes=nodes, image="tiny"))


async def redirected(live: Live, path: str = "/boot/initramfs.img?shared") -> str:
    """Where the server sends firmware that asks for `path`, or nothing."""
    async with live.http.get(live.boot + path, allow_redirects=False) as response:
        return response.headers.get("Location", "")


async def becomes(live: Live, *, elsewhere: bool) -> str:
    """Wait until the server sends firmware elsewhere, or not any more; whither."""
    async with asyncio.timeout(DEADLINE):
        while True:
            url = await redirected(live)
            if bool(url) == elsewhere:
                return url
            await asyncio.sleep(0.05)


async def script(live: Live, mac: str) -> str:
    query = {"mac": mac, "uuid": "", "platform": "efi"}
    async with live.http.get(f"{live.boot}/boot/ipxe", params=query) as response:
        return await response.text()


async def test_a_booted_node_serves_what_the_server_has(live: Live, tmp_path: Path) -> None:
    arm(live, *NODES)
    async with agent(live) as api:
        peer = Peer(api.passing, tmp_path / "shared")
        await peer.serves()
        url = await becomes(live, elsewhere=True)
        assert url.endswith(SHA256)
        for path, content in (("vmlinuz", KERNEL), ("initramfs.img", INITRAMFS)):
            async with live.http.get(f"{live.boot}/boot/{path}?shared") as response:
                assert (response.status, await response.read()) == (200, content)
        async with live.http.get(url, headers={"Range": "bytes=1000-1099"}) as response:
            assert (response.status, await response.read()) == (206, INITRAMFS[1000:1100])
        assert await redirected(live, "/boot/initramfs.img") == ""
        await peer.leave()
        assert await redirected(live) == ""
        with pytest.raises(OSError, match="Connect"):
            await live.http.get(url)


async def test_a_node_passes_on_while_it_deploys(
    live: Live,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The whole agent, whose deployment lasts until its hook is told to end."""
    memory, go_on = tmp_path / "memory", tmp_path / "go-on"
    monkeypatch.setattr(host, "SHARED", memory)
    monkeypatch.setattr(bootshare, "PORT", free_ports(1)[0])
    add_hook(live.paths, f"until [ -e {go_on} ]; do sleep 0.1; done")
    arm(live, *NODES)
    writers = Writers.start(0)
    lab = Lab(live.paths.keys, tmp_path / "node", writers, monkeypatch, caplog)
    booting = asyncio.create_task(lab.boot(live.node, WHOLE))
    try:
        await becomes(live, elsewhere=True)
        assert memory.is_mount()
        async with live.http.get(f"{live.boot}/boot/initramfs.img?shared") as response:
            assert await response.read() == INITRAMFS
        go_on.touch()
        node = await booting
    finally:
        await writers.stop()
    assert node.left == ["reboot"]
    assert not memory.is_mount()
    assert await redirected(live) == ""


async def test_a_node_that_leaves_finishes_what_it_began(live: Live, tmp_path: Path) -> None:
    large = bytes(32 * MiB)
    live.paths.initramfs.write_bytes(large)
    arm(live, *NODES)
    async with agent(live) as api:
        peer = Peer(api.passing, tmp_path / "shared")
        await peer.serves()
        url = await becomes(live, elsewhere=True)
        async with live.http.get(url) as response:
            leaving = asyncio.create_task(peer.leave())
            await becomes(live, elsewhere=False)
            assert not leaving.done()
            assert await response.read() == large
        await leaving


async def test_no_node_is_asked_when_nobody_is_left_to_boot(live: Live) -> None:
    arm(live, "n1")
    async with agent(live) as api:
        assert (await api.passing(Passing())).files == ()


async def test_no_more_nodes_are_asked_than_pays(live: Live) -> None:
    arm(live, *NODES[:6])
    async with agent(live) as first, agent(live, "52:54:00:00:00:03") as second:
        assert (await first.passing(Passing())).files
        assert not (await second.passing(Passing())).files


async def test_what_does_not_fit_into_memory_is_not_fetched(live: Live, tmp_path: Path) -> None:
    arm(live, *NODES)
    asked = asyncio.Event()
    async with agent(live) as api:

        async def ask(passing: Passing) -> PassOn:
            wanted = await api.passing(passing)
            asked.set()
            return wanted

        peer = Peer(ask, tmp_path / "shared", room=1000)
        peer.start()
        async with asyncio.timeout(DEADLINE):
            await asked.wait()
        await peer.leave()
    assert peer.told.empty()
    assert not (tmp_path / "shared").exists()


async def test_a_peer_with_other_bytes_is_not_passed_on(live: Live, tmp_path: Path) -> None:
    """A node loads from the liar that the server named, sees it, and takes the server's."""
    arm(live, *NODES)
    asked: list[str] = []

    async def lie(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=b"evil" * 100)

    app = web.Application()
    app.router.add_get("/{sha256}", lie)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, ADDRESS, port).start()
    try:
        async with agent(live) as liar, agent(live, "52:54:00:00:00:02") as honest:
            files = (await liar.passing(Passing())).files
            holds = tuple(file.sha256 for file in files)
            await liar.passing(Passing(port=port, holds=holds))
            peer = Peer(honest.passing, tmp_path / "shared")
            await peer.serves()
            assert asked == [f"/{sha256}" for sha256 in holds]
            assert (tmp_path / "shared" / SHA256).read_bytes() == INITRAMFS
            await peer.leave()
    finally:
        await runner.cleanup()


async def test_nothing_else_of_a_node_is_served(live: Live, tmp_path: Path) -> None:
    arm(live, *NODES)
    (tmp_path / "secret").write_text("passphrase")
    async with agent(live) as api:
        peer = Peer(api.passing, tmp_path / "shared")
        await peer.serves()
        base = (await becomes(live, elsewhere=True)).removesuffix(SHA256)
        for path in ("", "0" * 64, "..%2fsecret", "%2e%2e/secret"):
            async with live.http.get(base + path) as response:
                assert response.status == 404
        await peer.leave()


async def test_an_initramfs_that_was_built_anew_is_not_mixed_with_the_old(
    live: Live, tmp_path: Path
) -> None:
    arm(live, *NODES)
    async with agent(live) as api:
        peer = Peer(api.passing, tmp_path / "shared")
        await peer.serves()
        await becomes(live, elsewhere=True)
        live.paths.initramfs.unlink()
        live.paths.initramfs.write_bytes(b"new")
        async with live.http.get(f"{live.boot}/boot/initramfs.img?shared") as response:
            assert await response.read() == b"new"
        await peer.leave()


async def test_firmware_is_told_what_it_must_find(live: Live) -> None:
    arm(live, "n1")
    text = await script(live, MAC)
    assert f"initrd.img && iseq ${{sum:hexraw}} {SHA256} || goto wrong" in text
    assert (
        f"initrd --name initrd.img --timeout 60000 {live.boot}/boot/initramfs.img || goto again"
        in text
    )
    assert "iseq checked unchecked && goto shared" in text


async def test_a_third_node_waits_for_its_turn(live: Live) -> None:
    arm(live, *NODES)
    turns = live.services.sharing
    assert await turns.turn("n1", "192.0.2.1")
    assert await turns.turn("n2", "192.0.2.2")
    third = asyncio.create_task(turns.turn("n3", "192.0.2.3"))
    await asyncio.sleep(0)
    assert not third.done()
    for path in (live.paths.kernel, live.paths.initramfs):
        assert await turns.source(path, "192.0.2.1") is None
        with turns.from_here(path, "192.0.2.1"):
            await asyncio.sleep(0)
            assert not third.done()
    async with asyncio.timeout(DEADLINE):
        assert await third


async def test_who_waits_for_long_is_told_to_ask_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm(live, "n1")
    monkeypatch.setattr(sharing, "_PATIENCE", 0.05)
    turns = live.services.sharing
    assert await turns.turn("n1", "192.0.2.1")
    assert await turns.turn("n2", "192.0.2.2")
    text = await script(live, MAC)
    assert "n1 waits until its turn comes" in text
    assert f"chain --replace --autofree --timeout 60000 {live.boot}/boot/ipxe?mac=" in text
