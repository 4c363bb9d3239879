# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the site's seeders a node is told of. Decides, and touches nothing.

A seeder is for those of its own rack; into other racks it sends by their gateways only. It serves
few at a time, from whom the others have it; and whoever gets nothing any more, wherever that is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmstrap_server.swarm.circles import Endpoint

# So many nodes of a swarm are told of one seeder.
PEERS_A_SEEDER = 64


@dataclass(frozen=True, slots=True)
class Placed:
    """A seeder of the site, and the rack that it is in."""

    endpoint: Endpoint
    rack: str = ""


class Tier:
    """The seeders of one swarm. The first is the server's own, which always counts as present; a
    node is told of others while they say that they have the image.
    """

    def __init__(self, seeders: Sequence[Placed]) -> None:
        self._seeders = tuple(seeders)
        self._present = {seeders[0].endpoint}
        self._nodes: dict[Endpoint, set[Endpoint]] = {s.endpoint: set() for s in seeders}

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._nodes

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(self._nodes)

    @property
    def first(self) -> Endpoint:
        """The server's own."""
        return self._seeders[0].endpoint

    @property
    def further(self) -> int:
        """How many beside the first are present."""
        return len(self._present) - 1

    def nodes(self, seeder: Endpoint) -> tuple[Endpoint, ...]:
        """Who was told of this seeder and still needs it."""
        return tuple(self._nodes[seeder])

    def comes(self, seeder: Endpoint) -> None:
        self._present.add(seeder)

    def goes(self, seeder: Endpoint) -> None:
        if seeder != self.first:
            self._present.discard(seeder)
            self._nodes[seeder].clear()

    def forget(self, node: Endpoint) -> None:
        for nodes in self._nodes.values():
            nodes.discard(node)

    def seeders_of(
        self, node: Endpoint, rack: str, *, gateway: bool, stalled: bool
    ) -> tuple[Endpoint, ...]:
        """Those that this node is told of, the same for as long as they are there: one of its rack,
        or of any rack for a gateway, that has the fewest nodes; all of them for a stalled node.
        """
        present = [seeder for seeder in self._seeders if seeder.endpoint in self._present]
        if stalled:
            for seeder in present:
                self._nodes[seeder.endpoint].add(node)
        elif not any(node in self._nodes[seeder.endpoint] for seeder in present):
            near = [seeder for seeder in present if seeder.rack == rack]
            free = [
                nodes
                for seeder in near or (present if gateway else [])
                if len(nodes := self._nodes[seeder.endpoint]) < PEERS_A_SEEDER
            ]
            if free:
                min(free, key=len).add(node)
        return tuple(s.endpoint for s in present if node in self._nodes[s.endpoint])
