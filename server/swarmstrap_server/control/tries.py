# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon an address that showed wrong tokens may show another. Decides, and waits for nobody."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# A person mistypes, a script goes on: these are looked at without a pause.
FREE = 5
# Doubled with each refusal that follows.
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
# After so long without a refusal an address begins anew.
FORGET_SECONDS = 900.0
# Of more addresses, those are forgotten that were refused longest ago.
MOST_ADDRESSES = 4096


@dataclass(frozen=True, slots=True)
class _Refusals:
    count: int
    last: float

    @property
    def until(self) -> float:
        """When the next try is looked at."""
        if self.count < FREE:
            return self.last
        doublings = min(self.count - FREE, 16)
        return self.last + min(FIRST_SECONDS * (1 << doublings), LONGEST_SECONDS)


class Tries:
    """`clock` gives seconds and never goes back. No address waits for what another one did."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refusals: OrderedDict[str, _Refusals] = OrderedDict()

    def pause(self, address: str) -> float:
        """Seconds until a try of this address is looked at again, 0 for now."""
        known = self._refusals.get(address)
        return max(0.0, known.until - self._clock()) if known else 0.0

    def refused(self, address: str) -> None:
        now = self._clock()
        before = self._refusals.pop(address, None)
        count = 0
        if before is not None and now - before.last < FORGET_SECONDS:
            count = before.count
        self._refusals[address] = _Refusals(count + 1, now)
        if len(self._refusals) > MOST_ADDRESSES:
            self._refusals.popitem(last=False)

    def accepted(self, address: str) -> None:
        """Others behind the same address may have been wrong before: they begin anew."""
        self._refusals.pop(address, None)

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._refusals)
