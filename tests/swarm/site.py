# SPDX-License-Identifier: GPL-2.0-or-later
"""A site whose server is a process that can be killed, and nodes that fetch its one image."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from swarmstrap.effects.transfer.swarm import Patience, Swarm, Torrent, load
from swarmstrap.manifest import TORRENT_FILE
from swarmstrap_server.control.jobs import web_seed
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site import making
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

log = logging.getLogger(__name__)

READY_SECONDS = 60.0
# Short for a test, and still many times what a healthy swarm needs between two blocks.
PATIENCE = Patience(help=2.0, give_up=30.0)


def make_site(folder: Path, address: str, payload: int, rate: int) -> tuple[SitePaths, Published]:
    """A site in `folder` with an image of `payload` bytes that do not compress, and a seeder that
    sends `rate` bytes a second; its ports are free ones.
    """
    making.init(folder / "site", "faults", [address], None)
    paths = SitePaths(folder / "site")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        boot, node, operator, seeder, deal = (one.getsockname()[1] for one in sockets)
    paths.settings.write_text(
        f"name: faults\naddress: {address}\n"
        f"ports: {{boot: {boot}, node: {node}, operator: {operator}, "
        f"seeder: {seeder}, deal: {deal}}}\n"
        f"swarm: {{seeder_rate: {rate}B}}\n"
    )
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", tree / "bin/sh")
    for number in range(8):
        (tree / f"data{number}").write_bytes(os.urandom(payload // 8))
    store, key = ImageStore(paths.images), Key(paths.publisher)
    return paths, publish(Directory(tree), "image", "1", store, key, level=1, strip=())


class Server:
    """`swarmstrap serve`, by `command` if it is to run somewhere else."""

    def __init__(self, site: SitePaths, command: Sequence[str] = ()) -> None:
        self._command = [*command, sys.executable, "-m", "swarmstrap_server.cli"]
        self._command += ["--site", str(site.root), "serve"]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when every listener answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said.startswith("ready "), said

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def seeders(self) -> list[int]:
        """The process ids of its children: one, but while it is replaced."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(child) for child in children.split()]

    @property
    def seeder(self) -> int:
        (child,) = self.seeders
        return child

    def kill(self) -> None:
        """Without a chance to say goodbye to anybody. Safe to repeat."""
        if self._process is None:
            return
        with contextlib.suppress(ValueError, FileNotFoundError):
            os.kill(self.seeder, signal.SIGKILL)
        self._process.kill()
        self._process.communicate(timeout=READY_SECONDS)
        self._process = None


@contextlib.contextmanager
def serving(site: SitePaths, command: Sequence[str] = ()) -> Iterator[Server]:
    server = Server(site, command)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def join(
    paths: SitePaths,
    image: Image | Published,
    folder: Path,
    address: str,
    patience: Patience = PATIENCE,
    tell: Callable[[str], None] = log.warning,
) -> Swarm:
    """A node at `address`, told what a job says of the swarm."""
    site, infohash = read_site(paths.root), image.manifest.infohash
    return Swarm(
        torrent_of(image),
        folder / address,
        trackers=(f"{site.boot_url}/announce",),
        web_seeds=(web_seed(site, infohash),),
        deal=f"{site.deal_url}/{infohash}",
        seeders=frozenset({site.settings.address}),
        tell=tell,
        address=address,
        patience=patience,
    )


def torrent_of(image: Image | Published) -> Torrent:
    return load((image.directory / TORRENT_FILE).read_bytes(), image.manifest.infohash)


class Fetching:
    """Several nodes that fetch at once; `arrived` has the pieces of each."""

    def __init__(self, swarms: Sequence[Swarm], deadline: float) -> None:
        self._swarms = swarms
        self._deadline = deadline
        self._news = asyncio.Event()
        self.arrived: list[set[int]] = [set() for _ in swarms]

    async def run(self) -> None:
        async with asyncio.timeout(self._deadline), asyncio.TaskGroup() as nodes:
            for swarm, arrived in zip(self._swarms, self.arrived, strict=True):
                nodes.create_task(self._one(swarm, arrived))

    async def _one(self, swarm: Swarm, arrived: set[int]) -> None:
        async for piece in swarm.pieces():
            assert piece not in arrived
            arrived.add(piece)
            self._news.set()

    async def until(self, pieces: int) -> None:
        """Until the nodes have so many different pieces between them; `run` has the deadline."""
        while len(set().union(*self.arrived)) < pieces:
            self._news.clear()
            await self._news.wait()


def same(image: Published, folder: Path) -> bool:
    """Whether the image's two files came as they are."""
    return all(
        (folder / path).read_bytes() == (image.directory / Path(path).name).read_bytes()
        for path, _ in torrent_of(image).files
    )
