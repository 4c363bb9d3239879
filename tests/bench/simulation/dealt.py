# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's deal as the links see it: which piece goes where is the product's own `Deal`."""

from collections import deque
from collections.abc import Callable

from tests.bench.simulation.clock import Clock
from tests.bench.simulation.wires import Wires

from swarmstrap_server.swarm.dealing import Deal

# A piece goes out in so many parts, and every stream's turn is one: TCP shares a link so.
_PARTS = 16
# Parts under way to one node: a slow node's stream waits, and the others go on.
_UNDER_WAY = _PARTS
# As the product's dealer: a node that is ahead of the others waits so often, each time for this
# part of the time that its last piece took.
_WAITS, _WAIT = 24, 1 / 4


class Dealer:
    """`seeder` deals `pieces` to nodes that join; `width` is the most pieces under way, 0 any.
    `arrived` hears node and piece, `ended` that every piece is on its way to somebody.
    """

    def __init__(
        self,
        seeder: int,
        pieces: int,
        width: int,
        wires: Wires,
        clock: Clock,
        arrived: Callable[[int, int], None],
        ended: Callable[[], None],
    ) -> None:
        self._seeder = seeder
        self._all = (1 << pieces) - 1
        self._deal: Deal[int] = Deal(pieces)
        self._wires = wires
        self._clock = clock
        self._width = width
        self._arrived = arrived
        self._ended = ended
        self._free_handed: deque[int] = deque()
        self._turns: deque[int] = deque()
        self._sending: dict[int, tuple[int, int]] = {}  # the piece, and the parts of it sent
        self._under_way: dict[int, int] = {}
        self._began: dict[int, float] = {}
        self._took: dict[int, float] = {}
        self._busy = False
        self.over = False
        self.sent = 0

    def join(self, node: int) -> None:
        if self.over:
            return
        self._deal.join(node, has=0, lacks=self._all)
        self._under_way[node] = 0
        self._took[node] = 0.0
        self._free_handed.append(node)
        if not self._busy:
            self._busy = True
            self._clock.at(self._clock.now, self._turn)

    def _takes(self, node: int, waited: int) -> None:
        """Its last piece is out: it can take another one, when its turn has come."""
        if waited < _WAITS and self._deal.ahead(node):
            later = self._clock.now + self._took[node] * _WAIT
            self._clock.at(later, self._takes, node, waited + 1)
            return
        self._free_handed.append(node)
        if not self._busy:
            self._turn()

    def _turn(self) -> None:
        """The link is free: a part for the next stream that can take one."""
        self._busy = True
        self._hand_out()
        if not self._turns:
            self._busy = False
            return
        node = self._turns.popleft()
        piece, parts = self._sending[node]
        parts += 1
        part = 1 / _PARTS
        arrives = self._wires.send(self._seeder, node, self._clock.now, part)
        last = parts == _PARTS
        self._clock.at(arrives, self._arrive, node, piece if last else -1)
        self._clock.at(self._wires.free(self._seeder), self._turn)
        self._under_way[node] += 1
        if last:
            del self._sending[node]
            self._took[node] = self._clock.now - self._began[node]
            self._takes(node, 0)
        else:
            self._sending[node] = piece, parts
            if self._under_way[node] < _UNDER_WAY:
                self._turns.append(node)

    def _hand_out(self) -> None:
        while self._free_handed and not (self._width and len(self._sending) >= self._width):
            node = self._free_handed.popleft()
            piece = self._deal.next(node)
            if piece is not None:
                self.sent += 1
                self._sending[node] = piece, 0
                self._began[node] = self._clock.now
                if self._under_way[node] < _UNDER_WAY:
                    self._turns.append(node)
            if not self.over and not self._deal.running:
                self.over = True
                self._ended()

    def _arrive(self, node: int, piece: int) -> None:
        if self._under_way[node] == _UNDER_WAY and node in self._sending:
            self._turns.append(node)
        self._under_way[node] -= 1
        if not self._busy and self._turns:
            self._turn()
        if piece >= 0:
            self._arrived(node, piece)
