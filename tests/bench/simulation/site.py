# SPDX-License-Identifier: GPL-2.0-or-later
"""What is simulated: a site, an image, how its peers behave, and what happens meanwhile."""

from dataclasses import dataclass, field
from typing import Literal

# What is payload of TCP in a full-size frame: of Ethernet with gap and preamble, and as tbf counts.
ETHERNET = 1448 / 1538
SHAPED = 1448 / 1514

Knows = Literal["tracker", "tracker without racks", "regular"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Links are bit/s, each way. Node i stands in rack i // rack_size, whose uplink carries
    rack_size * link / oversubscription; seeders hang on the core. `rack_size` 0 is one switch.
    The first `slow_nodes` have `slow_link`.
    """

    nodes: int
    link: float = 1e9
    seeder_link: float = 10e9
    seeders: int = 1
    rack_size: int = 0
    oversubscription: float = 1.0
    slow_nodes: int = 0
    slow_link: float = 1e9
    goodput: float = ETHERNET

    @property
    def racks(self) -> int:
        return -(-self.nodes // self.rack_size) if self.rack_size else 1

    def rack(self, node: int) -> int:
        return node // self.rack_size if self.rack_size else 0


@dataclass(frozen=True, slots=True)
class Image:
    """`size` is bytes."""

    size: int = 2_000_000_000
    pieces: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """`knows` is who decides who knows whom: the product's tracker, or a random graph in which
    everybody has `degree` neighbours. `deal_width` is the most nodes that are dealt to at the same
    time, 0 all. `queue` is the pieces that a node has asked of one neighbour and not received,
    `shared` the most uploads that share a link. `slots` are the seeder's for ordinary peers, which
    change every `unchoke_seconds`.
    """

    knows: Knows = "tracker"
    degree: int = 10
    dealing: bool = True
    deal_width: int = 0
    queue: int = 1
    shared: int = 1
    slots: int = 8
    unchoke_seconds: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`late` has the second in which a node joins, else 0; `leave`: nodes go when they are done."""

    site: Site
    image: Image = Image()
    behaviour: Behaviour = Behaviour()
    late: dict[int, float] = field(default_factory=dict)
    leave: bool = False
    seed: int = 1

    @property
    def bound(self) -> float:
        """Seconds that one copy needs through a node's link, or through all seeders' links."""
        site = self.site
        return self.image.size * 8 / min(site.link, site.seeder_link * site.seeders)
