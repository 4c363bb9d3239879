# SPDX-License-Identifier: GPL-2.0-or-later
"""A swarm on equal, slow links: when has the last node everything, and what did the server send?

`swarmstrap serve` (its tracker, its seeder, its HTTP) and the agent's own swarm on every node;
each is a process in a network namespace with a link of 16 Mbit/s each way. The bound is the time
that one copy of the image needs through one such link. HTTP is the same files from the same
server, to all nodes at once.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.bench.links import Machine, machines
from tests.bench.processes import line, process

from swarmstrap.manifest import PAYLOAD_FILE, TORRENT_FILE
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Status
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.torrents import torrent_name
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths

Way = Literal["swarm", "http"]

RATE = 16_000_000  # bit/s
PAYLOAD = 40_000_000  # bytes
RUNS: tuple[tuple[Way, int], ...] = (
    ("http", 1),
    ("swarm", 1),
    ("swarm", 2),
    ("http", 4),
    ("swarm", 4),
    ("swarm", 8),
)
_READY_SECONDS = 60.0
# Of the time that all copies, one after another, take through the server's link.
_SLOWEST = 4.0
# The seeder reports once a second.
_ASK_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Measured:
    """`times` are seconds of the last node in each round over the bound's, `copies` what the
    seeder sent over the image's bytes; for HTTP the copies are the nodes by construction.
    """

    way: Way
    nodes: int
    times: tuple[float, ...]
    copies: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(self.times)


def bench(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """Every row of RUNS once in each round. Needs root, tc and network namespaces."""
    most = max(nodes for _, nodes in RUNS)
    found: dict[tuple[Way, int], list[tuple[float, float]]] = {run: [] for run in RUNS}
    with (
        tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as name,
        machines(most + 1, RATE) as (server, *nodes),
    ):
        folder = Path(name)
        site, image = _site(folder, server)
        for _ in range(rounds):
            for way, count in RUNS:
                run = _run(way, site, image, server, nodes[:count], folder / "nodes")
                ratio, copies = asyncio.run(run)
                say(f"{way}, {count} nodes: {ratio:.2f} of the bound, {copies:.2f} copies")
                found[way, count].append((ratio, copies))
    return [
        Measured(way, count, tuple(r for r, _ in runs), tuple(c for _, c in runs))
        for (way, count), runs in found.items()
    ]


def _site(folder: Path, server: Machine) -> tuple[SitePaths, Published]:
    """A site with an image of one program and bytes that do not compress."""
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", tree / "bin/sh")
    (tree / "data").write_bytes(os.urandom(PAYLOAD))
    newsite.init(folder / "site", "bench", [str(server.address)], None)
    paths = SitePaths(folder / "site")
    store, key = ImageStore(paths.images), Key(paths.publisher)
    image = publish(Directory(tree), "bench", "1", store, key, strip=())
    shutil.rmtree(tree)
    return paths, image


async def _run(
    way: Way,
    site: SitePaths,
    image: Published,
    server: Machine,
    nodes: Sequence[Machine],
    folder: Path,
) -> tuple[float, float]:
    """The last node's time over the bound's, and copies sent."""
    files = image.manifest.payload.size + image.manifest.index.size
    size = files if way == "swarm" else image.manifest.payload.size
    bound = size * 8 / RATE
    async with AsyncExitStack() as stack:
        serving = server.command(
            sys.executable, "-m", "swarmstrap_server.cli", "--site", str(site.root), "serve"
        )
        ready = await stack.enter_async_context(process(serving))
        await line(ready, _READY_SECONDS, "the server to be ready")
        waiting = []
        for node in nodes:
            own = folder / node.netns
            own.mkdir(parents=True)
            stack.callback(shutil.rmtree, own)
            words = _words(way, image, server, node, own)
            command = node.command(sys.executable, "-m", "tests.bench.node", way, *words)
            waiting.append(await stack.enter_async_context(process(command)))
        for running in waiting:
            await line(running, _READY_SECONDS, "a node to be ready")
        started = asyncio.get_running_loop().time()
        for running in waiting:
            assert running.stdin is not None
            running.stdin.write(b"\n")
        longest = _SLOWEST * bound * len(nodes)
        ends = [float(await line(running, longest, "a node to end")) for running in waiting]
        status = await _quiet(Operator(site.socket)) if way == "swarm" else None
    copies = status.seeder_uploaded / files if status else float(len(nodes))
    return (max(ends) - started) / bound, copies


def _words(
    way: Way, image: Published, server: Machine, node: Machine, folder: Path
) -> tuple[str, ...]:
    manifest, base = image.manifest, f"http://{server.address}:8080"
    if way == "http":
        name = torrent_name(manifest.name, manifest.version)
        return f"{base}/images/{manifest.infohash}/{name}/{PAYLOAD_FILE}", str(folder)
    torrent = str(image.directory / TORRENT_FILE)
    return torrent, manifest.infohash, str(folder), str(node.address), f"{base}/announce"


async def _quiet(operator: Operator) -> Status:
    """The server's counters, once two of its seeder's reports are the same."""
    before = await asyncio.to_thread(operator.status)
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            status = await asyncio.to_thread(operator.status)
            if status.seeder_uploaded == before.seeder_uploaded:
                return status
            before = status
