# SPDX-License-Identifier: GPL-2.0-or-later
"""Links as serial servers: each carries one piece after another, cut through from wire to wire."""

from tests.bench.simulation.site import Image, Site


class Wires:
    """Peers are nodes 0..N-1 and, behind them, the seeders. Times are seconds."""

    def __init__(self, site: Site, image: Image) -> None:
        bits = image.size * 8 / image.pieces / site.goodput
        links = [site.link] * site.nodes + [site.seeder_link] * site.seeders
        links[: site.slow_nodes] = [site.slow_link] * site.slow_nodes
        rack_link = site.rack_size * site.link / site.oversubscription
        peers = len(links)
        # Uplinks, downlinks, then those of the racks.
        rates = links + links + [rack_link or site.link] * (2 * site.racks)
        self.seconds = [bits / rate for rate in rates]
        self._free = [0.0] * len(rates)
        self._peers = peers
        self._racks = site.racks
        # The core is a rack without an uplink.
        self._rack = [site.rack(node) for node in range(site.nodes)] + [-1] * site.seeders
        self.out_of_rack = [0.0] * site.racks
        self.into_rack = [0.0] * site.racks

    def send(self, giver: int, taker: int, now: float, part: float = 1.0) -> float:
        """When `part` of a piece that starts at `now` has arrived; takes its turn on every wire."""
        wires = self._path(giver, taker, part)
        end = begin = now
        for wire in wires:
            free = self._free[wire]
            if free > begin:
                begin = free
            free = begin + self.seconds[wire] * part
            self._free[wire] = free
            if free > end:
                end = free
        return end

    def free(self, giver: int) -> float:
        """When its uplink has sent all that was given to it."""
        return self._free[giver]

    def _path(self, giver: int, taker: int, part: float) -> tuple[int, ...]:
        down = self._peers + taker
        source, target = self._rack[giver], self._rack[taker]
        if source == target or self._racks == 1:
            return giver, down
        first = 2 * self._peers
        path = [giver]
        if source >= 0:
            path.append(first + source)
            self.out_of_rack[source] += part
        if target >= 0:
            path.append(first + self._racks + target)
            self.into_rack[target] += part
        return *path, down
