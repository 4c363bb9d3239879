# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulation beside measured swarms: what its error is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.simulation.site import SHAPED, Behaviour, Image, Run, Site
from tests.bench.simulation.swarm import simulate

from swarmstrap_server.images.torrents import piece_length
from swarmstrap_server.swarm.neighbours import WANTED

MEASURED = Path("build/bench/swarm.json")

_BLOCK = 16 * 1024
# Blocks asked of one peer: tuning.node's `max_out_request_queue`, and what the spike had.
_MOST_ASKED, _SPIKE_ASKED = 64, 16
# Before pieces were dealt: tuned libtorrent, everybody knowing everybody, 40 MB in pieces of
# 64 KiB over links of 16 Mbit/s, last node / bound by number of nodes; single runs.
_SPIKE = {1: 1.05, 2: 1.16, 4: 1.24, 8: 1.28, 16: 1.36, 32: 1.43}


@dataclass(frozen=True, slots=True)
class Compared:
    """Ratios are the last node's time over the bound."""

    what: str
    nodes: int
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Of the simulated time, as a part of the measured one."""
        return self.simulated / self.measured - 1


def compared() -> list[Compared]:
    return [*_spike(), *_bench()]


def _spike() -> Iterator[Compared]:
    size = 40_000_000
    for nodes, measured in _SPIKE.items():
        behaviour = Behaviour(
            knows="regular", degree=2 * nodes, dealing=False, queue=_queue(size, _SPIKE_ASKED)
        )
        ratio = _ratio(nodes, size, 16e6, behaviour)
        yield Compared("ordinary seeder, spike", nodes, measured, ratio)


def _bench() -> Iterator[Compared]:
    """Rows of `make bench-swarm`, where there are some."""
    if not MEASURED.exists():
        return
    for row in json.loads(MEASURED.read_text()):
        if row["system"] == "swarmstrap":
            size, rate = row["payload_bytes"], row["rate"]
            # A second of what one of the neighbours sends: `request_queue_time`.
            asked = int(rate / 8 / min(row["n"], WANTED) / _BLOCK)
            behaviour = Behaviour(queue=_queue(size, min(asked, _MOST_ASKED)))
            ratio = _ratio(row["n"], size, rate, behaviour)
            what = f"dealt, {size / 1e6:.0f} MB at {rate / 1e6:.0f} Mbit/s"
            yield Compared(what, row["n"], row["ratio"], ratio)


def _queue(size: int, blocks: int) -> int:
    return max(1, blocks * _BLOCK // piece_length(size))


def _ratio(nodes: int, size: int, rate: float, behaviour: Behaviour) -> float:
    site = Site(nodes=nodes, link=rate, seeder_link=rate, goodput=SHAPED)
    image = Image(size, -(-size // piece_length(size)))
    run = Run(site=site, image=image, behaviour=behaviour)
    return max(simulate(run).seconds) / run.bound


def table() -> Iterator[str]:
    yield "| swarm | nodes | measured | simulated | error |"
    yield "|---|---|---|---|---|"
    for row in compared():
        yield (
            f"| {row.what} | {row.nodes} | {row.measured:.2f} | {row.simulated:.2f} "
            f"| {row.error:+.0%} |"
        )
