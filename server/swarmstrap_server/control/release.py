# SPDX-License-Identifier: GPL-2.0-or-later
"""When a node that has the image may stop serving it. Decides, and touches nothing.

Nobody waits for the last straggler who need not: a few stay, of the racks in which somebody still
fetches and among those the ones that began last, and the others leave.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from swarmstrap.wire import Release
from swarmstrap_server.control.nodes import ABSENCE_SECONDS, Deployment

# While more fetch than there are seeders, at least so many nodes serve them.
FEWEST = 4
# Nodes that serve for each copy of the image that is still to be sent.
SERVERS_A_COPY = 2

Rank = tuple[bool, float, str]


@dataclass(frozen=True, slots=True)
class Need:
    """What the swarm of one image still needs at one moment. `missing` maps the nodes that fetch to
    the part they lack; `ranks` are those of nodes that do nothing but serve, in rising order.
    """

    missing: Mapping[str, float]
    racks: frozenset[str]
    ranks: Sequence[Rank]

    def rank(self, deployment: Deployment, rack: str) -> Rank:
        """Who has the lowest leaves first: who is of no needy rack, then who came first."""
        return rack in self.racks, deployment.started or 0.0, deployment.id


def need_of(
    infohash: str, active: Iterable[Deployment], now: float, rack_of: Callable[[str], str]
) -> Need:
    """`rack_of` knows a node's rack by its name. With many nodes this takes a millisecond, and all
    of them ask: one answer does for a second.
    """
    same = [
        deployment
        for deployment in active
        if deployment.infohash == infohash and now - (deployment.heard or now) < ABSENCE_SECONDS
    ]
    missing = {d.node: 1.0 - _received(d) for d in same if not d.fetched}
    need = Need(missing, frozenset(map(rack_of, missing)), ())
    # Of those that still make the image bootable nobody knows for how long they will serve.
    ranks = sorted(need.rank(d, rack_of(d.node)) for d in same if d.phase == "seed")
    return replace(need, ranks=ranks)


def release(mine: Deployment, need: Need, *, seeders: int, rack: str) -> Release:
    """Whether the node of `mine`, which is in `rack` and serves its image, may leave.

    `seeders` counts the site's own that run without a limit: each sends one node as much as that
    can take.
    """
    missing = need.missing
    if mine.node in missing:
        missing = {node: part for node, part in missing.items() if node != mine.node}
    if not missing:
        return Release(leave=True, reason="every node that is deploying this image has it")
    if len(missing) <= seeders:
        return Release(leave=True, reason=f"the site's seeders serve {_names(missing)}")
    above = len(need.ranks) - bisect_right(need.ranks, need.rank(mine, rack))
    if above >= servers_wanted(missing.values()):
        return Release(leave=True, reason=f"{above} other nodes serve {_names(missing)}")
    return Release(leave=False, reason=f"still without the image: {_names(missing)}")


def servers_wanted(missing: Iterable[float]) -> int:
    """How many nodes that have the image are to serve those that lack these parts of it."""
    return max(FEWEST, math.ceil(SERVERS_A_COPY * sum(missing)))


def _received(deployment: Deployment) -> float:
    """The part of the image that the node has, 0..1."""
    return (deployment.progress or 0.0) if deployment.phase == "image" else 0.0


def _names(nodes: Iterable[str]) -> str:
    names = nsmallest(4, nodes)
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
