# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fault in the middle of a swarm costs: time, and nothing else.

    make bench-faults
    build/venv/bin/python -m tests.bench.faults --only half-cut-off,lossy

Eight nodes on links of 16 Mbit/s fetch 20 MB from `swarmstrap serve`, once undisturbed and once for
each fault. Every node's files are compared with the image's. Rows go to build/bench/faults.json,
where those that are not measured again stay. Needs root and iptables.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.links import Machine, machines
from tests.swarm.network import Node, Nodes, cut_off, lossy, nodes
from tests.swarm.site import Server, make_site, serving, torrent_of

from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.control.client import Operator
from swarmstrap_server.images.publish import Published
from swarmstrap_server.site.paths import SitePaths

OUT = Path("build/bench/faults.json")
COUNT = 8
RATE = 16_000_000  # bit/s
PAYLOAD = 20_000_000  # bytes
_HELP_SECONDS = 10.0  # as nodes have it, see Patience
_DEADLINE = 180.0
# The seeder reports once a second.
_ASK_SECONDS = 0.5
_AWAY_SECONDS = 10.0
_CUT_SECONDS = 30.0


@dataclass
class Lab:
    """One swarm that is under way; `booted` changes with a node that boots again."""

    server: Server
    cables: Sequence[Machine]
    site: SitePaths
    image: Published
    nodes: Nodes
    booted: list[Node]

    async def reached(self, share: float) -> None:
        """Until every node has that share of the pieces."""
        pieces = int(torrent_of(self.image).pieces * share)
        await asyncio.gather(*(node.until(pieces) for node in self.booted))

    async def all_out(self) -> None:
        """Until the seeder has sent as many bytes as the image has."""
        operator, size = Operator(self.site.socket), files(self.image)
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            status = await asyncio.to_thread(operator.status)
            if status.seeder_uploaded >= size:
                return


async def nothing(lab: Lab) -> None:
    """no fault"""


async def seeder_killed(lab: Lab) -> None:
    """the seeder's process killed at a half"""
    await lab.reached(0.5)
    os.kill(lab.server.seeder, signal.SIGKILL)


async def seeder_hangs(lab: Lab) -> None:
    """the seeder's process stopped at a half, for good"""
    await lab.reached(0.5)
    os.kill(lab.server.seeder, signal.SIGSTOP)


async def server_restarted(lab: Lab) -> None:
    """the server killed at a half, started again 10 s later"""
    await lab.reached(0.5)
    lab.server.kill()
    await asyncio.sleep(_AWAY_SECONDS)
    await asyncio.to_thread(lab.server.start)


async def server_gone(lab: Lab) -> None:
    """server, seeder and tracker killed once every piece was out, for good"""
    await lab.all_out()
    lab.server.kill()


async def half_cut_off(lab: Lab) -> None:
    """half of the nodes cut off for 30 s at 40 %"""
    await lab.reached(0.4)
    with cut_off([node.machine for node in lab.booted[COUNT // 2 :]]):
        await asyncio.sleep(_CUT_SECONDS)


async def power_lost(lab: Lab) -> None:
    """a node loses power at a half, and boots again with nothing"""
    await lab.reached(0.5)
    await lab.nodes.power_off(lab.booted[1])
    [lab.booted[1]] = await lab.nodes.boot(lab.booted[1].machine)


async def packets_lost(lab: Lab) -> None:
    """one packet in a hundred lost, everywhere and all the time"""
    with lossy(lab.cables, 0.01):
        await asyncio.gather(*(node.done() for node in lab.booted))


Fault = Callable[[Lab], Awaitable[None]]
FAULTS: dict[str, Fault] = {
    "none": nothing,
    "seeder-killed": seeder_killed,
    "seeder-hangs": seeder_hangs,
    "server-restarted": server_restarted,
    "server-gone": server_gone,
    "half-cut-off": half_cut_off,
    "power-lost": power_lost,
    "packets-lost": packets_lost,
}


@dataclass(frozen=True, slots=True)
class Row:
    """`seconds` until the last node has the image whole; `told` is what nodes told the server."""

    fault: str
    done: str
    seconds: float
    whole: int
    told: tuple[str, ...]


def files(image: Published) -> int:
    return image.manifest.payload.size + image.manifest.index.size


async def measured(
    fault: str, site: SitePaths, image: Published, cables: Sequence[Machine], folder: Path
) -> Row:
    with ExitStack() as stack:
        server = stack.enter_context(serving(site, cables[0].command()))
        async with nodes(site, image.manifest.name, folder, _HELP_SECONDS) as lab:
            clock = asyncio.get_running_loop().time
            booted = await lab.boot(*cables[1:])
            began = clock()
            running = Lab(server, cables, site, image, lab, booted)
            async with asyncio.timeout(_DEADLINE):
                await FAULTS[fault](running)
                await asyncio.gather(*(node.done() for node in running.booted))
            seconds = clock() - began
            return Row(
                fault,
                FAULTS[fault].__doc__ or "",
                round(seconds, 1),
                sum(is_whole(node, image) for node in running.booted),
                tuple(sorted({line for node in running.booted for line in node.told})),
            )


def is_whole(node: Node, image: Published) -> bool:
    [copy] = node.folder.glob(f"*/{PAYLOAD_FILE}")
    return copy.read_bytes() == (image.directory / PAYLOAD_FILE).read_bytes()


def bench(faults: Sequence[str]) -> None:
    rows = {row["fault"]: row for row in json.loads(OUT.read_text())} if OUT.exists() else {}
    with (
        tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as name,
        machines(COUNT + 1, RATE) as cables,
    ):
        folder = Path(name)
        site, image = make_site(folder, str(cables[0].address), PAYLOAD, 0)
        for fault in faults:
            row = asyncio.run(measured(fault, site, image, cables, folder / fault))
            print(f"{fault}: {row.seconds:.1f} s", file=sys.stderr, flush=True)
            rows[fault] = asdict(row)
            OUT.parent.mkdir(parents=True, exist_ok=True)
            OUT.write_text(json.dumps([rows[f] for f in FAULTS if f in rows], indent=2) + "\n")


def table() -> list[str]:
    """As in docs/faults.md."""
    rows = json.loads(OUT.read_text())
    usual = next((row["seconds"] for row in rows if row["fault"] == "none"), 0.0)
    lines = [
        "| what was done | last node | time lost | nodes with the whole image |",
        "|---|---|---|---|",
    ]
    for row in rows:
        lost = f"{max(0.0, row['seconds'] - usual):.0f} s" if row["fault"] != "none" else ""
        lines.append(
            f"| {row['done']} | {row['seconds']:.1f} s | {lost} | {row['whole']} of {COUNT} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(FAULTS), help="some faults, with commas")
    bench(parser.parse_args().only.split(","))
    print("\n".join(table()))


if __name__ == "__main__":
    main()
