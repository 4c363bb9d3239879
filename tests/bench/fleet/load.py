# SPDX-License-Identifier: GPL-2.0-or-later
"""A process full of simulated nodes: orders as JSON on stdin, what they heard in a file."""

import asyncio
import gc
import sys
from pathlib import Path

import msgspec
from tests.bench.fleet.node import Heard, Node, Place

from swarmstrap.effects.http import tls

_PROBE_SECONDS = 0.1


class Orders(msgspec.Struct, frozen=True):
    """Nodes `first` to `last` of the fleet; one comes every `step` seconds. `out` gets a Told, and
    then stdout a line.
    """

    out: str

    host: str
    node_port: int
    boot_port: int
    ca: str
    first: int
    last: int
    step: float
    fetch: float


class Told(msgspec.Struct, frozen=True):
    """Seconds that each answer took; `kept` counts, by node, events that must be in the store, and
    `late` says how late this process was to look at its own clock.
    """

    acknowledged: list[float]
    registered: list[float]
    jobs: list[float]
    announced: list[float]
    late: list[float]
    events: int
    again: int
    connections: int
    kept: dict[str, int]
    problems: list[str]
    seconds: float


def name_of(number: int) -> str:
    return f"n{number:05}"


def mac_of(number: int) -> str:
    return f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def address_of(number: int) -> str:
    """Each node has one of its own on loopback: the tracker knows nodes by theirs."""
    return f"127.1.{number >> 8}.{number & 255}"


async def run(orders: Orders) -> Told:
    place = Place(
        orders.host, orders.node_port, orders.boot_port, tls(Path(orders.ca)), orders.fetch
    )
    heard, late = Heard(), list[float]()
    loop = asyncio.get_running_loop()
    began = loop.time()
    probing = asyncio.create_task(_probe(late))

    async def boot(number: int) -> None:
        await asyncio.sleep(began + (number - orders.first) * orders.step - loop.time())
        node = Node(name_of(number), mac_of(number), address_of(number), place, heard)
        await node.run()

    async with asyncio.TaskGroup() as nodes:
        for number in range(orders.first, orders.last + 1):
            nodes.create_task(boot(number))
    probing.cancel()
    return Told(
        acknowledged=heard.acknowledged,
        registered=heard.registered,
        jobs=heard.jobs,
        announced=heard.announced,
        late=late,
        events=heard.events,
        again=heard.again,
        connections=heard.connections,
        kept=heard.kept,
        problems=heard.problems,
        seconds=loop.time() - began,
    )


async def _probe(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(_PROBE_SECONDS)
        late.append(loop.time() - before - _PROBE_SECONDS)


def main() -> None:
    gc.disable()  # a pause of the clients would be counted as one of the server
    orders = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    Path(orders.out).write_bytes(msgspec.json.encode(asyncio.run(run(orders))))
    print("done", flush=True)


if __name__ == "__main__":
    main()
