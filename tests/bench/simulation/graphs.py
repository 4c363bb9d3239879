# SPDX-License-Identifier: GPL-2.0-or-later
"""Who knows whom: as the product's tracker decides it, or by chance."""

import random
from collections.abc import Iterable
from typing import Protocol

from tests.bench.simulation.site import Run

from swarmstrap_server.swarm.circles import Endpoint
from swarmstrap_server.swarm.neighbours import Neighbours
from swarmstrap_server.swarm.tier import Placed, Tier
from swarmstrap_server.swarm.tracker import INTERVAL_SECONDS, MOST_ANNOUNCES_A_SECOND, SOONER

_PORT = 6881


class Graph(Protocol):
    """Peers are numbers, those of seeders come after those of nodes."""

    def interval(self, node: int) -> float:
        """Seconds until the next announce of a node that was told."""
        ...

    def meet(self, node: int, left: int, *, stalled: bool) -> list[int]:
        """Whom a node, which lacks `left` pieces, is told of."""
        ...

    def leave(self, node: int) -> None: ...


def graph_of(run: Run) -> Graph:
    return Regular(run) if run.behaviour.knows == "regular" else Told(run)


class Told:
    """The answers of the product's tracker."""

    def __init__(self, run: Run) -> None:
        site = run.site
        flat = site.rack_size == 0 or run.behaviour.knows == "tracker without racks"
        self._racks = ["" if flat else f"r{site.rack(node)}" for node in range(site.nodes)]
        self._graph = Neighbours(run.seed.to_bytes(20))
        seeders = range(site.nodes, site.nodes + site.seeders)
        self._tier = Tier([Placed(_endpoint(seeder)) for seeder in seeders])
        for seeder in seeders:
            self._tier.comes(_endpoint(seeder))

    def interval(self, node: int) -> float:
        interval = max(INTERVAL_SECONDS, len(self._graph) // MOST_ANNOUNCES_A_SECOND)
        return interval // SOONER if self._graph.lacks_neighbours(_endpoint(node)) else interval

    def meet(self, node: int, left: int, *, stalled: bool) -> list[int]:
        me, rack = _endpoint(node), self._racks[node]
        known = self._graph.meet(me, left=left, rack=rack, stalled=stalled)
        if not left:
            self._tier.forget(me)
            return _peers(known)
        gateway = self._graph.is_gateway(me)
        seeders = self._tier.seeders_of(me, rack, gateway=gateway, stalled=stalled)
        return _peers((*known, *seeders))

    def leave(self, node: int) -> None:
        self._graph.leave(_endpoint(node))
        self._tier.forget(_endpoint(node))


class Regular:
    """Rings through all nodes, each by another chance; everybody knows every seeder."""

    def __init__(self, run: Run) -> None:
        chance = random.Random(run.seed)
        nodes = run.site.nodes
        self._known: list[set[int]] = [set() for _ in range(nodes)]
        self._here: set[int] = set()
        self._seeders = list(range(nodes, nodes + run.site.seeders))
        pairs, odd = divmod(run.behaviour.degree, 2)
        for _ in range(pairs):
            ring = chance.sample(range(nodes), nodes)
            self._link(ring, ring[1:] + ring[:1])
        if odd:
            ring = chance.sample(range(nodes), nodes)
            self._link(ring[: nodes // 2], ring[-(nodes // 2) :])

    def _link(self, some: list[int], others: list[int]) -> None:
        for one, other in zip(some, others, strict=True):
            if one != other:
                self._known[one].add(other)
                self._known[other].add(one)

    def interval(self, node: int) -> float:
        return INTERVAL_SECONDS

    def meet(self, node: int, left: int, *, stalled: bool) -> list[int]:
        self._here.add(node)
        return sorted(self._known[node] & self._here) + (self._seeders if left else [])

    def leave(self, node: int) -> None:
        self._here.discard(node)


def _endpoint(peer: int) -> Endpoint:
    return str(peer), _PORT


def _peers(endpoints: Iterable[Endpoint]) -> list[int]:
    """In an order that is the same in every process."""
    return sorted(int(address) for address, _ in endpoints)
