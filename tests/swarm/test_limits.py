# SPDX-License-Identifier: GPL-2.0-or-later
"""A real server and real agents on links of 16 Mbit/s: what holds them is what they say."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.bench.links import Machine, machines
from tests.http.conftest import SYSTEM
from tests.trees import needs_root

from swarmstrap.limits import Limit, Resource
from swarmstrap_server.commands.board import Board
from swarmstrap_server.commands.watch import watch_json
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Arm, NodeView, Status
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths

pytestmark = needs_root

MEGABIT = 10**6 // 8
LINK = 16 * MEGABIT
SEEDER = 8 * MEGABIT
PAYLOAD = 4 << 20
NODES = {"n0": "52:54:00:00:00:01", "n1": "52:54:00:00:00:02"}
DEADLINE = 90.0
# Of all cores' time: from here on, what else the machine does may be what held a node.
_BUSY = 0.7


@pytest.fixture(scope="module")
def net() -> Iterator[list[Machine]]:
    """The server's machine, and one for each node."""
    with machines(1 + len(NODES), 8 * LINK) as made:
        yield made


@pytest.fixture(scope="module")
def site(net: list[Machine]) -> Iterator[SitePaths]:
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        root, system = Path(folder) / "site", Path(folder) / "system"
        newsite.init(root, "test", [str(net[0].address)], None)
        paths = SitePaths(root)
        for name, content in {**SYSTEM, "opt/random": os.urandom(PAYLOAD)}.items():
            (system / name).parent.mkdir(parents=True, exist_ok=True)
            (system / name).write_bytes(content)
        publish(Directory(system), "tiny", "1", ImageStore(paths.images), Key(paths.publisher))
        nodes = "".join(f"- {{name: {name}, mac: {mac}}}\n" for name, mac in NODES.items())
        (root / "nodes" / "lab.yaml").write_text(f"nodes:\n{nodes}")
        for made in (paths.kernel, paths.initramfs):
            made.write_bytes(b"not booted here")
        yield paths


@contextlib.asynccontextmanager
async def process(*command: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*map(str, command), stdout=pipe, env=env)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        await asyncio.wait_for(running.communicate(), DEADLINE)


@contextlib.asynccontextmanager
async def served(site: SitePaths, machine: Machine) -> AsyncIterator[Operator]:
    command = [sys.executable, "-m", "swarmstrap_server.cli", "--site", str(site.root), "serve"]
    async with process(*machine.command(*command)) as server:
        assert server.stdout is not None
        assert (await server.stdout.readline()).startswith(b"ready ")
        yield Operator(site.socket)


@dataclass(frozen=True)
class Seen:
    """What an operator saw at the end and on the way, and what the first node's console said."""

    status: Status
    views: list[NodeView]
    live: list[Limit]
    console: str


async def deploy(site: SitePaths, net: list[Machine], folder: Path) -> Seen:
    """All nodes at once, each to its end."""
    records: list[str] = []
    async with served(site, net[0]) as operator, contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread(operator.arm, Arm(nodes=tuple(NODES), image="tiny"))
        stream = asyncio.to_thread(watch_json, operator.stream(), tuple(NODES), records.append)
        watching = asyncio.create_task(stream)
        commands = [agent(site, net, name, folder) for name in NODES]
        running = [await stack.enter_async_context(process(*command)) for command in commands]
        told = await asyncio.gather(*(node.communicate() for node in running))
        board = await watching
        assert board.failed == []
        status = await asyncio.to_thread(operator.status)
        live = [found for record in records if (found := limit_in(record))]
        return Seen(status, list(views(board)), live, told[0][0].decode())


def agent(site: SitePaths, net: list[Machine], name: str, folder: Path) -> list[str]:
    machine = net[1 + list(NODES).index(name)]
    server, place = f"https://{net[0].address}:8443", str(folder / name)
    words = [server, str(site.keys), str(machine.address), NODES[name], place]
    return machine.command(sys.executable, "-m", "tests.swarm.netnode", *words)


def views(board: Board) -> Iterator[NodeView]:
    return (board.rows[name].view for name in NODES)


def limit_in(record: str) -> Limit | None:
    """Of a node that is fetching."""
    message = msgspec.json.decode(record)
    view = message.get("view")
    if not view or not view["limit"] or view["deployment"]["progress"] is None:
        return None
    return msgspec.convert(view["limit"], Limit)


def demands(found: Limit | None) -> dict[Resource, float | None]:
    assert found is not None
    assert found.ratio >= 0.99
    return {demand.resource: demand.seconds for demand in found.demands}


def held_by(found: Limit | None, resource: Resource) -> bool:
    """Whether it was that; a machine that does other things, too, may have been held by them."""
    assert found is not None
    busy = demands(found)["processor"] or 0.0
    return found.resource == resource or busy > _BUSY * found.seconds


async def test_on_a_slow_link_it_is_the_link(
    site: SitePaths, net: list[Machine], tmp_path: Path
) -> None:
    async with asyncio.timeout(DEADLINE):
        seen = await deploy(site, net, tmp_path)
    for view in seen.views:
        assert view.deployment is not None
        usage = view.deployment.usage
        assert usage is not None
        # Its kernel says that a veth has 10 Gbit/s, and nobody believes it.
        assert usage.link_rate == 0
        assert 0 < usage.best_rate < 1.5 * LINK
        own = demands(view.limit)
        assert (own["disk"], own["seeder link"]) == (None, None)
        assert (own["node link"] or 0.0) > PAYLOAD / LINK / 1.5
        assert held_by(view.limit, "node link")
    assert [run.nodes for run in seen.status.runs] == [tuple(NODES)]
    run = seen.status.runs[0]
    assert not run.running
    assert run.from_seeder + run.from_peers >= 2 * PAYLOAD
    assert held_by(run.limit, "node link")
    assert "swarmstrap: fetched and written in" in seen.console
    assert any(held_by(found, "node link") for found in seen.live)


async def test_a_seeder_that_is_slower_than_the_links_is_named(
    site: SitePaths, net: list[Machine], tmp_path: Path
) -> None:
    with site.settings.open("a") as file:
        file.write("swarm: {seeder_rate: 1MB}\n")
    async with asyncio.timeout(DEADLINE):
        seen = await deploy(site, net, tmp_path)
    run = seen.status.runs[-1]
    assert (demands(run.limit)["seeder link"] or 0.0) >= PAYLOAD / SEEDER
    # Where the seeder itself had to wait for a processor, its link was not full.
    starved = run.seconds > 1.2 * PAYLOAD / SEEDER
    assert starved or held_by(run.limit, "seeder link")
