# SPDX-License-Identifier: GPL-2.0-or-later
"""Which piece goes to which node: every piece once over all nodes together. Pure.

Nodes that ask a seeder for what they lack ask for the same pieces: 1.2 to 1.7 copies left the
seeder before a swarm had one of each. So the server deals instead, and the nodes trade the rest.

Sets of pieces are integers here, bit p for piece p.
"""

import statistics
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


# Pieces that a node may be dealt beyond the median, before others take their turn.
_AHEAD = 3


@dataclass(slots=True)
class _Hand:
    lacks: int
    on_its_way: int = 0
    dealt: int = 0


class Deal(Generic[Node]):
    """One torrent's deal, as long as any node takes part."""

    def __init__(self, pieces: int) -> None:
        self._all = (1 << pieces) - 1
        self._left = self._all
        self._hands: dict[Node, _Hand] = {}
        self._median = 0
        self._count_in = 0

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._hands)

    @property
    def running(self) -> bool:
        """Whether some node lacks what no node was dealt or brought."""
        # Asked by every idle stream: with 10,000 of them a look at all hands took six cores.
        return self._left != 0 and any(hand.lacks & self._left for hand in self._hands.values())

    def join(self, node: Node, *, has: int, lacks: int) -> None:
        """What a node brings is not dealt any more: its peers get it from there."""
        self._left &= ~has
        self._hands[node] = _Hand(lacks & self._all)

    def next(self, node: Node) -> int | None:
        """The next piece for a node, in the order of the image; None when it lacks none of those
        that are left. To ask is to have received what was dealt before.
        """
        hand = self._hands[node]
        hand.on_its_way = 0
        wanted = hand.lacks & self._left
        if not wanted:
            return None
        lowest = wanted & -wanted
        self._left ^= lowest
        hand.lacks ^= lowest
        hand.on_its_way = lowest
        hand.dealt += 1
        return lowest.bit_length() - 1

    def ahead(self, node: Node) -> bool:
        """Whether others should get a piece first: a node's uplink has to carry what it gets."""
        self._count_in -= 1
        if self._count_in < 0:
            self._median = statistics.median_high(hand.dealt for hand in self._hands.values())
            self._count_in = len(self._hands) // 8
        return self._hands[node].dealt > self._median + _AHEAD

    def leave(self, node: Node) -> None:
        """The piece that the node did not live to receive is dealt again. When all have gone, so
        has what they had.
        """
        self._left |= self._hands.pop(node).on_its_way
        if not self._hands:
            self._left = self._all
