# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to cables and nodes in the middle of a deployment costs time and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.bench.links import Machine, machines
from tests.swarm.network import Node, Nodes, cut_off, lossy, nodes
from tests.swarm.site import Server, make_site, serving, torrent_of
from tests.trees import needs_root, scratch

from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.publish import Published
from swarmstrap_server.site.paths import SitePaths

COUNT = 4
RATE = 16_000_000  # bit/s
PAYLOAD = 6_000_000
HELP_SECONDS = 2.0
DEADLINE = 60.0

pytestmark = needs_root

Made = tuple[SitePaths, Published]


@pytest.fixture(scope="module")
def cables() -> Iterator[list[Machine]]:
    """The server's first."""
    with machines(COUNT + 1, RATE) as made:
        yield made


@pytest.fixture(scope="module")
def made(cables: list[Machine]) -> Iterator[Made]:
    with scratch() as folder:
        yield make_site(folder, str(cables[0].address), PAYLOAD, 0)


@pytest.fixture
def server(made: Made, cables: list[Machine]) -> Iterator[Server]:
    with serving(made[0], cables[0].command()) as server:
        yield server


@pytest.fixture
async def lab(made: Made, server: Server, tmp_path: Path) -> AsyncIterator[Nodes]:
    async with nodes(made[0], made[1].manifest.name, tmp_path, HELP_SECONDS) as lab:
        yield lab


async def whole(made: Made, booted: list[Node]) -> None:
    """Each of them has the image in time."""
    image = made[1]
    async with asyncio.timeout(DEADLINE):
        received = await asyncio.gather(*(node.done() for node in booted))
    size = image.manifest.payload.size + image.manifest.index.size
    assert [sum((r.from_seeder, r.from_peers)) for r in received] == [size] * len(booted)
    payload = (image.directory / PAYLOAD_FILE).read_bytes()
    for node in booted:
        [copy] = node.folder.glob(f"*/{PAYLOAD_FILE}")
        assert copy.read_bytes() == payload


async def begun(made: Made, booted: list[Node], share: float) -> None:
    """Until each has its share of the pieces."""
    async with asyncio.timeout(DEADLINE):
        wanted = int(torrent_of(made[1]).pieces * share)
        await asyncio.gather(*(node.until(wanted) for node in booted))


async def test_half_of_the_nodes_cut_off(made: Made, cables: list[Machine], lab: Nodes) -> None:
    booted = await lab.boot(*cables[1:])
    near, far = booted[:2], booted[2:]
    await begun(made, booted, 0.3)
    with cut_off([node.machine for node in far]):
        await whole(made, near)
    assert not any(node.received for node in far)
    await whole(made, far)


async def test_half_of_the_nodes_cut_off_until_the_server_is_gone_for_good(
    made: Made, cables: list[Machine], server: Server, lab: Nodes
) -> None:
    """They find the others again without a tracker."""
    booted = await lab.boot(*cables[1:])
    near, far = booted[:2], booted[2:]
    await begun(made, booted, 0.3)
    with cut_off([node.machine for node in far]):
        await whole(made, near)
        server.kill()
    assert not any(node.received for node in far)
    await whole(made, far)


async def test_a_node_that_loses_power_and_boots_again(
    made: Made, cables: list[Machine], lab: Nodes
) -> None:
    booted = await lab.boot(*cables[1:])
    await begun(made, booted, 0.4)
    await lab.power_off(booted[1])
    [booted[1]] = await lab.boot(cables[2])
    await whole(made, booted)


async def test_one_packet_in_fifty_is_lost(made: Made, cables: list[Machine], lab: Nodes) -> None:
    with lossy(cables, 0.02):
        booted = await lab.boot(*cables[1:])
        await whole(made, booted)
