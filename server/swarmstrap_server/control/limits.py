# SPDX-License-Identifier: GPL-2.0-or-later
"""How near a node, and all nodes of a run, came to what the hardware allows. Pure.

A run is what an operator calls one deployment: fetches of one image that overlap in time, whoever
armed them. docs/swarm-limits.md says what the figures mean.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from swarmstrap.limits import Demand, Limit, Resource, latest, limit, link_demand, node_demands
from swarmstrap_server.control.nodes import Deployment

_OF_NODES: tuple[Resource, ...] = ("node link", "disk", "processor")


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From when the first node `began` to fetch, `seconds` until the last had its image written,
    or until now. `payload`, `from_seeder` and `from_peers` are bytes, the last two of all nodes.
    """

    image: str
    nodes: tuple[str, ...]
    running: bool
    began: float
    seconds: float
    payload: int
    from_seeder: int
    from_peers: int
    limit: Limit | None

    @property
    def title(self) -> str:
        return f"{self.image} to {len(self.nodes)} node{'s' if len(self.nodes) > 1 else ''}"

    def __str__(self) -> str:
        return f"{self.title}: {self.limit.sentence() if self.limit else 'no figures'}"


def node_limit(mine: Deployment) -> Limit | None:
    """Of the fetch of one node, so far or as it ended."""
    if mine.usage is None:
        return None
    # What others had at its beginning, the seeder need not send for it.
    sent = _received(mine) * (1.0 - mine.out)
    demands = node_demands(mine.usage, _received(mine))
    return limit(mine.usage.seconds, [link_demand("seeder link", sent, mine.uplink), *demands])


def already_out(mine: Deployment, active: Iterable[Deployment]) -> float:
    """The share of the image, 0..1, that one of the other nodes has; they all pass on theirs."""
    return max(
        (
            1.0 if other.fetched else min(1.0, other.progress or 0.0)
            for other in active
            if other.infohash == mine.infohash and other.id != mine.id
        ),
        default=0.0,
    )


def runs(deployments: Iterable[Deployment]) -> list[Run]:
    """In order of their beginning. A node that failed before it had its image has no part."""
    measured = [d for d in deployments if d.usage and (d.fetched or d.state == "active")]
    found = []
    for _, same in groupby(sorted(measured, key=lambda d: (d.infohash, _span(d))), _infohash):
        together: list[Deployment] = []
        for deployment in same:
            if together and _span(deployment)[0] > max(_span(d)[1] for d in together):
                found.append(run_of(together))
                together = []
            together.append(deployment)
        found.append(run_of(together))
    return sorted(found, key=lambda run: run.began)


def run_of(nodes: Sequence[Deployment]) -> Run:
    """All of `nodes`, one at least, as one run; those that have measured nothing do not count."""
    measured = [d for d in nodes if d.usage]
    began = min((_span(d)[0] for d in measured), default=0.0)
    seconds = max((_span(d)[1] for d in measured), default=0.0) - began
    return Run(
        image=nodes[0].title,
        nodes=tuple(sorted(d.node for d in nodes)),
        running=any(d.state == "active" and not d.fetched for d in nodes),
        began=began,
        seconds=seconds,
        payload=nodes[0].payload,
        from_seeder=sum(d.from_seeder for d in nodes),
        from_peers=sum(d.from_peers for d in nodes),
        limit=limit(seconds, _demands(measured, began)),
    )


def _demands(nodes: Sequence[Deployment], began: float) -> list[Demand]:
    """One copy through the seeder's link, and each node from its own beginning on."""
    sent = max(map(_received, nodes), default=0)
    offsets = [
        (_span(d)[0] - began, demand)
        for d in nodes
        if d.usage
        for demand in node_demands(d.usage, _received(d))
    ]
    own = [latest(resource, offsets) for resource in _OF_NODES]
    return [link_demand("seeder link", sent, max((d.uplink for d in nodes), default=0)), *own]


def _received(deployment: Deployment) -> int:
    return deployment.from_seeder + deployment.from_peers


def _span(deployment: Deployment) -> tuple[float, float]:
    """When its fetch began and ended, by the server's clock."""
    began = deployment.began or 0.0
    return began, began + (deployment.usage.seconds if deployment.usage else 0.0)


def _infohash(deployment: Deployment) -> str:
    return deployment.infohash
