# SPDX-License-Identifier: GPL-2.0-or-later
"""How near a fetch came to what the hardware allows, and what held it. Pure.

Each resource has a demand: the seconds for which this fetch would keep it busy if it had no other
to wait for. Nothing is faster than the largest of them, the bound, and the time it took over that
bound is the x that an operator is told (docs/swarm-limits.md).
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from swarmstrap.wire import Usage

# Whatever makes a flow even, the best second of it is near the average: where something measured
# comes as near, it is rather that.
_DOUBT = 0.9

Resource = Literal["seeder link", "node link", "disk", "processor"]


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`seconds` is None where nobody knows what the resource can do. `estimated`: from the best
    that was seen of it, which says nothing about what it could have done.
    """

    resource: Resource
    seconds: float | None = None
    estimated: bool = False

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.resource} unknown"
        return f"{self.resource} {'~' if self.estimated else ''}{self.seconds:.1f} s"


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`ratio` is `seconds` over `bound`, the demand of `resource`, which is the largest."""

    ratio: float
    seconds: float
    bound: float
    resource: Resource
    estimated: bool
    demands: tuple[Demand, ...]

    def __str__(self) -> str:
        return f"{'~' if self.estimated else ''}{self.ratio:.2f} x {self.resource}"

    def sentence(self) -> str:
        """With every demand, the binding one first."""
        others = sorted(self.demands, key=lambda demand: -(demand.seconds or 0.0))
        return f"{self.seconds:.1f} s, {self}: {', '.join(map(str, others))}"


def limit(seconds: float, demands: Iterable[Demand]) -> Limit | None:
    """None as long as nothing has been asked of anything that is known."""
    asked = tuple(demands)
    known = [(demand.seconds, demand) for demand in asked if demand.seconds]
    if not known or seconds <= 0:
        return None
    bound, binding = max(known, key=lambda pair: pair[0] * (_DOUBT if pair[1].estimated else 1.0))
    return Limit(
        ratio=seconds / bound,
        seconds=seconds,
        bound=bound,
        resource=binding.resource,
        estimated=binding.estimated,
        demands=asked,
    )


def node_demands(usage: Usage, received: int) -> tuple[Demand, Demand, Demand]:
    """Those of a node that has received so many bytes of payload."""
    rate = usage.link_rate or usage.best_rate
    # One thread cannot use two cores.
    processor = max(usage.processor / usage.cores, usage.thread)
    return (
        Demand(
            resource="node link",
            seconds=received / rate if rate else None,
            estimated=not usage.link_rate and rate > 0,
        ),
        Demand(resource="disk", seconds=usage.disk),
        Demand(resource="processor", seconds=processor),
    )


def link_demand(resource: Resource, sent: float, rate: int) -> Demand:
    """`sent` bytes over a link of `rate` bytes a second, 0 when nobody knows."""
    return Demand(resource=resource, seconds=sent / rate if rate else None)


def latest(resource: Resource, offsets: Sequence[tuple[float, Demand]]) -> Demand:
    """What `resource` demands of several nodes, each some seconds behind the first: the earliest
    moment at which the last of them can have been served.
    """
    known = [
        (offset + demand.seconds, demand)
        for offset, demand in offsets
        if demand.resource == resource and demand.seconds is not None
    ]
    if not known:
        return Demand(resource=resource)
    seconds, demand = max(known, key=lambda pair: pair[0])
    return Demand(resource=resource, seconds=seconds, estimated=demand.estimated)
