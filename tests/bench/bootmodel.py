# SPDX-License-Identifier: GPL-2.0-or-later
"""How long N nodes take to load the installer: the server's own policy, played with a clock.

    build/venv/bin/python -m tests.bench.bootmodel

Links share their rate equally among transfers, and packets have no headers; docs/benchmarks.md
compares it with what `tests.bench.bootfetch` measures.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.bootfetch import INITRAMFS, KERNEL

from swarmstrap.wire import Passing
from swarmstrap_server.netboot.turns import Turns
from swarmstrap_server.site.settings import Swarm

SERVER = "server"
_DIGESTS = {KERNEL: "kernel", INITRAMFS: "initramfs"}


@dataclass(frozen=True, slots=True)
class Site:
    """Links in bit/s; `boot_seconds` from the last byte of the initramfs to the agent."""

    nodes: int
    server_link: float
    node_link: float
    boot_seconds: float
    copies: int | None

    @property
    def bound(self) -> float:
        """Seconds of one copy through one node's link."""
        return (KERNEL + INITRAMFS) * 8 / self.node_link


@dataclass(slots=True)
class _Transfer:
    source: str
    left: float
    end: Callable[[], None]


@dataclass(slots=True)
class _Play:
    """`copies` is None for a site whose boot_peers are off."""

    site: Site
    now: float = 0.0
    turns: Turns = field(default_factory=Turns)
    waiting: deque[str] = field(default_factory=deque)
    transfers: list[_Transfer] = field(default_factory=list)
    timers: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    serving: set[str] = field(default_factory=set)
    loaded: list[float] = field(default_factory=list)
    sent: float = 0.0

    def run(self) -> None:
        for number in range(self.site.nodes):
            if self.site.copies is None:
                self.load(f"n{number}", KERNEL)
            else:
                self.waiting.append(f"n{number}")
        self.admit()
        while len(self.loaded) < self.site.nodes:
            self.step()

    def admit(self) -> None:
        while self.waiting and self.turns.admit(self.waiting[0], self.site.copies or 0, self.now):
            self.load(self.waiting.popleft(), KERNEL)

    def load(self, node: str, size: int) -> None:
        def end() -> None:
            if size == KERNEL:
                self.load(node, INITRAMFS)
                return
            self.loaded.append(self.now)
            self.after(self.site.boot_seconds, lambda: self.take_job(node))

        self.begin(node, size, end)

    def take_job(self, node: str) -> None:
        copies = self.site.copies
        if copies is None or not self.turns.wants(node, len(self.waiting), copies, self.now):
            return
        self.turns.heard(node, node, Passing(), self.now)
        self.begin(node, KERNEL, lambda: self.begin(node, INITRAMFS, lambda: self.serve(node)))

    def serve(self, node: str) -> None:
        self.serving.add(node)

    def begin(self, node: str, size: int, end: Callable[[], None]) -> None:
        url = None if self.site.copies is None else self.turns.source(_DIGESTS[size], self.now)
        source = url.split("/")[2].partition(":")[0] if url else SERVER
        if source == SERVER:
            self.turns.begin()
            self.sent += size
        if size == INITRAMFS:
            self.turns.served(node)
        self.transfers.append(_Transfer(source, size, end))

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (self.now + seconds, next(self.numbers), then))

    def step(self) -> None:
        """On to the next end of a transfer, or of a timer; then everybody reports."""
        rates = self.rates()
        ends = [(t.left / rates[t.source], t) for t in self.transfers]
        soonest = min((seconds for seconds, _ in ends), default=float("inf"))
        if self.timers and self.timers[0][0] - self.now <= soonest:
            soonest = max(0.0, self.timers[0][0] - self.now)
        for transfer in self.transfers:
            transfer.left -= soonest * rates[transfer.source]
        self.now += soonest
        ended = [transfer for transfer in self.transfers if transfer.left < 1]
        self.transfers = [transfer for transfer in self.transfers if transfer.left >= 1]
        for transfer in ended:
            if transfer.source == SERVER:
                self.turns.end()
            transfer.end()
        while self.timers and self.timers[0][0] <= self.now:
            heapq.heappop(self.timers)[2]()
        self.report()
        self.admit()

    def rates(self) -> dict[str, float]:
        """Bytes per second of each transfer from a source."""
        busy: dict[str, int] = {}
        for transfer in self.transfers:
            busy[transfer.source] = busy.get(transfer.source, 0) + 1
        links = {source: self.site.node_link / 8 / count for source, count in busy.items()}
        if SERVER in busy:
            own = self.site.server_link / 8 / busy[SERVER]
            links[SERVER] = min(self.site.node_link / 8, own)
        return links

    def report(self) -> None:
        for node in self.serving:
            transfers = sum(transfer.source == node for transfer in self.transfers)
            holds = tuple(_DIGESTS.values())
            passing = Passing(port=8080, holds=holds, transfers=transfers)
            self.turns.heard(node, node, passing, self.now)


def play(site: Site) -> tuple[float, float]:
    """Seconds until the last node has both files, and copies that the server sent."""
    game = _Play(site)
    game.run()
    return game.loaded[-1], game.sent / (KERNEL + INITRAMFS)


def main() -> None:
    """A site as it is by default; nodes with 1 Gbit/s, 15 s from the initramfs to the agent."""
    print("| server | nodes | from the server alone (s) | passed on (s) | copies from the server |")
    print("|---|---|---|---|---|")
    for server in (1e9, 10e9):
        for nodes in (16, 100, 1000, 10_000):
            alone, _ = play(Site(nodes, server, 1e9, 15.0, None))
            seconds, sent = play(Site(nodes, server, 1e9, 15.0, Swarm().boot_copies))
            shown = f"{alone:.0f} | {seconds:.0f} | {sent:.0f}"
            print(f"| {server / 1e9:.0f} Gbit/s | {nodes} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
