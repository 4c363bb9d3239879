# SPDX-License-Identifier: GPL-2.0-or-later
"""What is simulated for docs/scaling.md, the cheapest runs of each question first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.bench.simulation.site import Behaviour, Image, Run, Site

Study = Literal[
    "nodes", "links", "width", "degree", "racks", "seeders", "meanwhile", "pieces", "site"
]

GBIT = 1e9
# Nodes that are dealt to at a time, where that is bounded.
WIDTH = 16
_SIDE = 150  # nodes, where their number is not the question
_RACK = 40


@dataclass(frozen=True, slots=True)
class Case:
    """`series` and `x` are a line and a place on it in the study's plot or table."""

    study: Study
    series: str
    x: float
    run: Run

    @property
    def transfers(self) -> int:
        return self.run.site.nodes * self.run.image.pieces


def cases() -> list[Case]:
    """All of them, the cheapest first."""
    every = (*_nodes(), *_links(), *_width(), *_degree(), *_racks(), *_others())
    return sorted(every, key=lambda case: case.transfers)


def _nodes() -> Iterator[Case]:
    ways = {
        "ordinary seeder": (Behaviour(dealing=False), 1000),
        "dealt, all nodes at a time": (Behaviour(), 1000),
        f"dealt, {WIDTH} nodes at a time": (Behaviour(deal_width=WIDTH), 10_000),
    }
    for times in (1, 10):
        for way, (behaviour, most) in ways.items():
            for count in (30, 100, 300, 1000, 3000, 10_000):
                if count <= (most if times == 10 else 1000):
                    site = Site(nodes=count, seeder_link=times * GBIT)
                    series = f"{way}, seeder link {times} x"
                    yield Case("nodes", series, count, Run(site=site, behaviour=behaviour))


def _links() -> Iterator[Case]:
    for node, seeder in ((1, 1), (1, 10), (1, 25), (10, 10), (10, 25), (25, 25)):
        for count in (30, 100, 300):
            site = Site(nodes=count, link=node * GBIT, seeder_link=seeder * GBIT)
            run = Run(site=site, behaviour=Behaviour(deal_width=WIDTH))
            yield Case("links", f"nodes {node}, seeder {seeder} Gbit/s", count, run)


def _width() -> Iterator[Case]:
    for times in (1, 10):
        for width in (1, 4, 16, 64, 0):
            site = Site(nodes=_SIDE, seeder_link=times * GBIT)
            run = Run(site=site, behaviour=Behaviour(deal_width=width))
            yield Case("width", f"seeder link {times} x", width or _SIDE, run)


def _degree() -> Iterator[Case]:
    for times in (1, 10):
        site = Site(nodes=_SIDE, seeder_link=times * GBIT)
        for degree in (3, 5, 10, 20):
            behaviour = Behaviour(knows="regular", degree=degree, deal_width=WIDTH)
            run = Run(site=site, behaviour=behaviour)
            yield Case("degree", f"random, seeder link {times} x", degree, run)
        run = Run(site=site, behaviour=Behaviour(deal_width=WIDTH))
        yield Case("degree", f"the tracker's, seeder link {times} x", 10, run)


def _racks() -> Iterator[Case]:
    for over in (1, 4, 20):
        for knows in ("tracker", "tracker without racks"):
            site = Site(nodes=4 * _RACK, rack_size=_RACK, oversubscription=over)
            behaviour = Behaviour(knows=knows, deal_width=WIDTH)
            yield Case("racks", knows, over, Run(site=site, behaviour=behaviour))
    site = Site(nodes=2000, rack_size=_RACK, oversubscription=10)
    run = Run(site=site, behaviour=Behaviour(deal_width=WIDTH))
    yield Case("site", "50 racks of 40, uplinks of 4 Gbit/s", 2000, run)


def _others() -> Iterator[Case]:
    dealt = Behaviour(deal_width=WIDTH)
    for count in (1, 2, 4):
        site = Site(nodes=_SIDE, seeder_link=GBIT, seeders=count)
        yield Case("seeders", "1 Gbit/s each", count, Run(site=site, behaviour=dealt))
    site = Site(nodes=_SIDE)
    half = Run(site=site).bound / 2
    late = dict.fromkeys(range(_SIDE - 10, _SIDE), half)
    after = dict.fromkeys(range(_SIDE - 10, _SIDE), 3 * half)
    slow = Site(nodes=_SIDE, slow_nodes=8, slow_link=GBIT / 10)
    meanwhile = {
        "nothing": Run(site=site, behaviour=dealt),
        "10 nodes join at half time": Run(site=site, behaviour=dealt, late=late),
        "10 nodes join when the others are done": Run(site=site, behaviour=dealt, late=after),
        "nodes leave when they are done": Run(site=site, behaviour=dealt, leave=True),
        "8 nodes have a tenth of the link": Run(site=slow, behaviour=dealt),
    }
    for name, run in meanwhile.items():
        yield Case("meanwhile", name, _SIDE, run)
    for pieces in (250, 1000, 4000):
        run = Run(site=Site(nodes=100), image=Image(pieces=pieces), behaviour=dealt)
        yield Case("pieces", "seeder link 10 x", pieces, run)
    for pieces in (1000, 8000):
        run = Run(site=Site(nodes=100, seeder_link=GBIT), image=Image(pieces=pieces))
        yield Case("pieces", "seeder link 1 x, all at a time", pieces, run)
