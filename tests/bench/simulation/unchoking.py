# SPDX-License-Identifier: GPL-2.0-or-later
"""The slots of an ordinary seeder, which go round among the nodes that fetch."""

from collections import deque


class Unchoking:
    def __init__(self, slots: int) -> None:
        self.paused = False
        self._slots = slots
        self._waiting: deque[int] = deque()
        self._served: dict[int, None] = {}

    @property
    def nodes(self) -> tuple[int, ...]:
        return () if self.paused else tuple(self._served)

    def serves(self, node: int) -> bool:
        return node in self._served and not self.paused

    def join(self, node: int) -> None:
        if len(self._served) < self._slots:
            self._served[node] = None
        else:
            self._waiting.append(node)

    def leave(self, node: int) -> None:
        """Its slot is free until the next round."""
        if node in self._served:
            del self._served[node]
        else:
            self._waiting.remove(node)

    def rotate(self) -> None:
        """Those who waited longest take the slots of all others."""
        turns = (*self._waiting, *self._served)
        self._served = dict.fromkeys(turns[: self._slots])
        self._waiting = deque(turns[self._slots :])
