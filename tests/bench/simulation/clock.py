# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulated time: what is due next happens next, in the order in which it was asked for."""

import heapq
from collections.abc import Callable


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., None], tuple[int, ...]]] = []
        self._asked = 0

    def at(self, time: float, happens: Callable[..., None], *numbers: int) -> None:
        self._asked += 1
        heapq.heappush(self._due, (time, self._asked, happens, numbers))

    def run(self, until: float) -> None:
        """Raises TimeoutError when something is due later than `until`, seconds."""
        due = self._due
        while due:
            self.now, _, happens, numbers = heapq.heappop(due)
            if self.now > until:
                raise TimeoutError(f"{happens.__name__}{numbers} was still due at {self.now:.0f} s")
            happens(*numbers)
