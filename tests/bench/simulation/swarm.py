# SPDX-License-Identifier: GPL-2.0-or-later
"""One deployment: nodes come, are told of each other, trade, are dealt to, finish, and may go.

Deterministic by the run's seed. What it leaves out of a real swarm stands in docs/scaling.md.
"""

from dataclasses import dataclass

from tests.bench.simulation.clock import Clock
from tests.bench.simulation.dealt import Dealer
from tests.bench.simulation.graphs import graph_of
from tests.bench.simulation.site import Run
from tests.bench.simulation.trade import Trade
from tests.bench.simulation.wires import Wires

from swarmstrap_server.swarm.tracker import INTERVAL_SECONDS, STALLED_SECONDS

# A swarm that needs so many times its bound has lost somebody.
_HOPELESS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` is how long each node took since it joined. Copies are of the image: those that
    all seeders sent, those that came in and went out by the uplink of each rack, and those that a
    node received twice, on the average.
    """

    seconds: tuple[float, ...]
    seeder_copies: float
    into_rack: tuple[float, ...]
    out_of_rack: tuple[float, ...]
    wasted: float


def simulate(run: Run) -> Outcome:
    """Raises TimeoutError when a node gets nothing any more."""
    return _Swarm(run).outcome()


class _Swarm:
    def __init__(self, run: Run) -> None:
        site = run.site
        self._run = run
        self._clock = Clock()
        self._wires = Wires(site, run.image)
        self._graph = graph_of(run)
        self._trade = Trade(run, self._clock, self._wires, self._finish)
        self._fetching = site.nodes
        self._began = [run.late.get(node, 0.0) for node in range(site.nodes)]
        self._ended = [0.0] * site.nodes
        self._advanced = [(run.image.pieces, began) for began in self._began]
        self._dealer: Dealer | None = None
        if run.behaviour.dealing:
            self._trade.seeders[site.nodes].paused = True
            self._dealer = Dealer(
                site.nodes,
                run.image.pieces,
                run.behaviour.deal_width,
                self._wires,
                self._clock,
                self._trade.hold,
                self._deal_over,
            )

    def outcome(self) -> Outcome:
        run, nodes = self._run, self._run.site.nodes
        for node, began in enumerate(self._began):
            self._clock.at(began, self._join, node)
        for seeder in self._trade.seeders:
            self._clock.at(run.behaviour.unchoke_seconds, self._rotate, seeder)
        self._clock.run(until=_HOPELESS * run.bound + max(self._began))
        pieces = run.image.pieces
        sent = sum(self._trade.sent[nodes:]) + (self._dealer.sent if self._dealer else 0)
        return Outcome(
            seconds=tuple(e - b for b, e in zip(self._began, self._ended, strict=True)),
            seeder_copies=sent / pieces,
            into_rack=tuple(passed / pieces for passed in self._wires.into_rack),
            out_of_rack=tuple(passed / pieces for passed in self._wires.out_of_rack),
            wasted=self._trade.wasted / pieces / nodes,
        )

    def _join(self, node: int) -> None:
        if self._dealer is not None:
            self._dealer.join(node)
        self._announce(node)

    def _announce(self, node: int) -> None:
        """Until it has everything, a node asks the tracker now and then."""
        left, now = self._trade.left[node], self._clock.now
        if not left:
            return
        if left != self._advanced[node][0]:
            self._advanced[node] = left, now
        stalled = now - self._advanced[node][1] >= STALLED_SECONDS
        self._trade.meet(node, self._graph.meet(node, left, stalled=stalled))
        interval = INTERVAL_SECONDS if stalled else self._graph.interval(node)
        self._clock.at(now + interval, self._announce, node)

    def _finish(self, node: int) -> None:
        self._ended[node] = self._clock.now
        self._fetching -= 1
        self._trade.finish(node)
        if self._run.leave:
            self._graph.leave(node)
            self._trade.leave(node)
        else:
            self._graph.meet(node, 0, stalled=False)

    def _deal_over(self) -> None:
        first = self._run.site.nodes
        self._trade.seeders[first].paused = False
        self._serve_unchoked(first)

    def _rotate(self, seeder: int) -> None:
        if self._fetching:
            self._trade.seeders[seeder].rotate()
            self._serve_unchoked(seeder)
            later = self._clock.now + self._run.behaviour.unchoke_seconds
            self._clock.at(later, self._rotate, seeder)

    def _serve_unchoked(self, seeder: int) -> None:
        for node in self._trade.seeders[seeder].nodes:
            self._trade.ask(node, seeder)
