# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm's page: each image under way, by whom it is sent, and whom it waits for. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from swarmstrap.limits import Limit
from swarmstrap_server.control.limits import node_limit, run_of
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.dashboard.nodes import DemandBar, demands
from swarmstrap_server.dashboard.rates import Rates

_SLOWEST = 10
_TENTHS = 10


@dataclass(frozen=True, slots=True)
class Fetching:
    """One node that has not got all of the image: `rate` is None, and so is `left`, in seconds, as
    long as nobody can tell; a node whose rate is 0 stands still.
    """

    node: str
    progress: float
    rate: float | None
    left: float | None
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class Swarm:
    """`spread` counts the fetching nodes by tenths of the image, `slowest` are those that will be
    last. `has_all` of the `nodes` have the image; `pieces` is how many it is cut into.
    """

    title: str
    nodes: int
    has_all: int
    payload: int
    pieces: int
    piece: int
    from_seeder: int
    from_peers: int
    progress: float
    limit: Limit | None
    demands: tuple[DemandBar, ...]
    spread: tuple[int, ...]
    slowest: tuple[Fetching, ...]

    @property
    def copies(self) -> float:
        """How often the server has sent the image."""
        return self.from_seeder / self.payload if self.payload else 0.0

    @property
    def peers_share(self) -> float:
        received = self.from_seeder + self.from_peers
        return self.from_peers / received if received else 0.0


def swarms(
    active: Iterable[Deployment], rates: Rates, piece_length: Callable[[int], int]
) -> tuple[Swarm, ...]:
    """The one with most nodes first; nodes that have not begun to fetch take part already."""

    def image(deployment: Deployment) -> tuple[str, str]:
        return deployment.title, deployment.infohash

    together = [list(same) for _, same in groupby(sorted(active, key=image), image)]
    found = [_swarm(same, rates, piece_length) for same in together]
    return tuple(sorted(found, key=lambda swarm: -swarm.nodes))


def _swarm(nodes: list[Deployment], rates: Rates, piece_length: Callable[[int], int]) -> Swarm:
    payload = nodes[0].payload
    limit = run_of(nodes).limit
    piece = piece_length(payload)
    fetching = [_fetching(d, rates) for d in nodes if d.phase == "image" and not d.fetched]
    return Swarm(
        title=nodes[0].title,
        nodes=len(nodes),
        has_all=sum(d.fetched for d in nodes),
        payload=payload,
        pieces=-(-payload // piece),
        piece=piece,
        from_seeder=sum(d.from_seeder for d in nodes),
        from_peers=sum(d.from_peers for d in nodes),
        progress=sum(map(_part, nodes)) / len(nodes),
        limit=limit,
        demands=demands(limit) if limit else (),
        spread=_spread(fetching),
        slowest=tuple(sorted(fetching, key=_lateness)[:_SLOWEST]),
    )


def _fetching(deployment: Deployment, rates: Rates) -> Fetching:
    rate, progress = rates.of(deployment.id), deployment.progress or 0.0
    left = (1.0 - progress) * deployment.payload / rate if rate else None
    return Fetching(deployment.node, progress, rate, left, node_limit(deployment))


def _lateness(fetching: Fetching) -> tuple[bool, float, float]:
    """Who stands still is the latest of all."""
    return fetching.rate != 0.0, -(fetching.left or 0.0), fetching.progress


def _spread(fetching: Iterable[Fetching]) -> tuple[int, ...]:
    counts = [0] * _TENTHS
    for one in fetching:
        counts[min(int(one.progress * _TENTHS), _TENTHS - 1)] += 1
    return tuple(counts)


def _part(deployment: Deployment) -> float:
    """What the node has of the image, 0..1."""
    if deployment.fetched:
        return 1.0
    return (deployment.progress or 0.0) if deployment.phase == "image" else 0.0
