# SPDX-License-Identifier: GPL-2.0-or-later
"""The trade between peers: each asks those it knows for the rarest piece that it lacks, and gives
what it has to whoever asked first.
"""

from collections import deque
from collections.abc import Callable, Iterable

from tests.bench.simulation.clock import Clock
from tests.bench.simulation.pieces import Pieces
from tests.bench.simulation.site import Run
from tests.bench.simulation.unchoking import Unchoking
from tests.bench.simulation.wires import Wires


class Trade:
    """Nodes are 0..N-1, seeders follow. `done` hears a node as soon as it has everything."""

    def __init__(self, run: Run, clock: Clock, wires: Wires, done: Callable[[int], None]) -> None:
        nodes, peers = run.site.nodes, run.site.nodes + run.site.seeders
        self._clock = clock
        self._wires = wires
        self._done = done
        self._depth = run.behaviour.queue
        self._beside = run.behaviour.shared - 1
        self._pieces = Pieces(nodes, run.site.seeders, run.image.pieces, run.seed)
        self.seeders = {seeder: Unchoking(run.behaviour.slots) for seeder in range(nodes, peers)}
        self._known: list[dict[int, None]] = [{} for _ in range(peers)]
        self._queue: list[deque[tuple[int, int]]] = [deque() for _ in range(peers)]
        self._busy = [False] * peers
        # By giver: pieces that each taker waits for, and the takers that found nothing there.
        self._waiting: list[dict[int, int]] = [{} for _ in range(peers)]
        self._idle: list[dict[int, None]] = [{} for _ in range(peers)]
        # By taker: of whom each piece that is to come was asked.
        self._asked: list[dict[int, list[int]]] = [{} for _ in range(nodes)]
        self._gone: set[int] = set()
        self.left = [run.image.pieces] * nodes
        self.sent = [0] * peers
        self.wasted = 0

    # Who knows whom

    def meet(self, node: int, others: Iterable[int]) -> None:
        """New ones among `others` become neighbours of a node."""
        known = self._known[node]
        new = [other for other in others if other not in known]
        self._pieces.meet(node, [other for other in new if other not in self.seeders])
        for other in new:
            known[other] = None
            if other in self.seeders:
                self.seeders[other].join(node)
            else:
                self._known[other][node] = None
                self.ask(other, node)
            self.ask(node, other)

    def finish(self, node: int) -> None:
        """It asks for nothing more."""
        for giver in self._known[node]:
            self._idle[giver].pop(node, None)
            if giver in self.seeders:
                self.seeders[giver].leave(node)

    def leave(self, node: int) -> list[int]:
        """What was asked of it and is not under way is asked of others: those who knew it."""
        self._gone.add(node)
        for taker, piece in self._queue[node]:
            givers = self._asked[taker].get(piece, [])
            if node in givers:
                givers.remove(node)
                if not givers:
                    del self._asked[taker][piece]
                    self._pieces.lost(taker, piece)
        self._queue[node].clear()
        others = [other for other in self._known[node] if other not in self.seeders]
        self._pieces.part(node, others)
        for other in others:
            del self._known[other][node]
            self.ask_everybody(other)
        return others

    # Asking

    def ask_everybody(self, node: int) -> None:
        for giver in tuple(self._known[node]):
            self.ask(node, giver)

    def ask(self, node: int, giver: int) -> None:
        """For as much as may be under way between the two."""
        if not self.left[node] or giver in self._gone:
            return
        if giver in self.seeders and not self.seeders[giver].serves(node):
            return
        waiting = self._waiting[giver]
        while waiting.get(node, 0) < self._depth:
            piece = self._pieces.rarest(node, giver)
            if piece < 0 and not self._pieces.unasked[node] and not waiting.get(node):
                piece = self._again(node, giver)
            if piece < 0:
                self._idle[giver][node] = None
                return
            self._request(node, giver, piece)

    def _again(self, node: int, giver: int) -> int:
        """At the end, what is to come from one is asked of another as well; -1 is nothing."""
        for piece, givers in self._asked[node].items():
            if len(givers) == 1 and giver not in givers and self._pieces.has(giver, piece):
                return piece
        return -1

    def _request(self, node: int, giver: int, piece: int) -> None:
        asked = self._asked[node]
        if piece in asked:
            asked[piece].append(giver)
        else:
            asked[piece] = [giver]
            self._pieces.asked(node, piece)
            if not self._pieces.unasked[node]:
                self._clock.at(self._clock.now, self.ask_everybody, node)
        waiting = self._waiting[giver]
        waiting[node] = waiting.get(node, 0) + 1
        self._queue[giver].append((node, piece))
        if not self._busy[giver]:
            self._serve(giver)

    # Giving

    def _serve(self, giver: int) -> None:
        """The uplink is free for what was asked for first."""
        queue = self._queue[giver]
        self._busy[giver] = True
        while queue:
            node, piece = queue.popleft()
            if self._pieces.has(node, piece):
                self._waiting[giver][node] -= 1
                self.ask(node, giver)
                continue
            self.sent[giver] += 1
            arrives = self._wires.send(giver, node, self._clock.now)
            free = self._wires.free(giver)
            # Uploads side by side: each lasts longer, all together do not.
            if self._beside and queue:
                arrives += min(len(queue), self._beside) * self._wires.seconds[giver]
            if arrives == free:
                self._clock.at(free, self._arrive_and_serve, giver, node, piece)
            else:
                self._clock.at(arrives, self._arrive, giver, node, piece)
                self._clock.at(free, self._serve, giver)
            return
        self._busy[giver] = False

    def _arrive_and_serve(self, giver: int, node: int, piece: int) -> None:
        self._arrive(giver, node, piece)
        self._serve(giver)

    def _arrive(self, giver: int, node: int, piece: int) -> None:
        self._waiting[giver][node] -= 1
        self.hold(node, piece)
        self.ask(node, giver)

    def hold(self, node: int, piece: int) -> None:
        """It is whole and checked; neighbours that were waiting for something new ask for it."""
        if self._pieces.has(node, piece):
            self.wasted += 1
            return
        if self._asked[node].pop(piece, None) is None:
            self._pieces.asked(node, piece)
        self._pieces.arrived(node, piece)
        self.left[node] -= 1
        idle = self._idle[node]
        if idle:
            wanted = self._pieces.wanted
            for taker in [taker for taker in idle if wanted[taker][piece]]:
                self._request(taker, node, piece)
                if self._waiting[node][taker] >= self._depth:
                    del idle[taker]
        if not self.left[node]:
            self._done(node)
