# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast images arrive, by source: samples of the counters that nodes report. Touches nothing."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from swarmstrap_server.control.nodes import Deployment

SAMPLE_SECONDS = 2.0
KEPT_SECONDS = 900.0
# Of many nodes each reports every ten seconds only: who said nothing new for so long stands still.
_NODE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes a second, of all nodes, since the sample before; `time` is seconds since 1970."""

    time: float
    seeder: float
    peers: float


class Rates:
    def __init__(self) -> None:
        self.samples: deque[Sample] = deque()
        self._received: dict[str, tuple[int, int]] = {}
        self._nodes: dict[str, deque[tuple[float, int]]] = {}
        self._last = 0.0

    def take(self, active: Iterable[Deployment], now: float) -> None:
        """The deployments that are under way `now`; a clock that stands still is not looked at."""
        seconds = now - self._last
        if seconds <= 0:
            return
        seeder = peers = 0
        received, nodes = {}, {}
        for deployment in active:
            key, some = deployment.id, (deployment.from_seeder, deployment.from_peers)
            before = self._received.get(key, some)
            # A node that tries again counts from nothing.
            seeder += max(0, some[0] - before[0])
            peers += max(0, some[1] - before[1])
            received[key] = some
            nodes[key] = self._recent(key, now, sum(some))
        if self._last:
            self.samples.append(Sample(now, seeder / seconds, peers / seconds))
        while self.samples and now - self.samples[0].time > KEPT_SECONDS:
            self.samples.popleft()
        self._received, self._nodes, self._last = received, nodes, now

    def of(self, deployment: str) -> float | None:
        """Bytes a second that the node of this deployment received over the last half minute; None
        as long as nobody can tell.
        """
        known = self._nodes.get(deployment)
        if not known:
            return None
        (t0, b0), (t1, b1) = known[0], known[-1]
        if b1 > b0:
            return (b1 - b0) / (t1 - t0)
        return 0.0 if t1 - t0 >= _NODE_SECONDS - SAMPLE_SECONDS else None

    @property
    def now(self) -> Sample:
        return self.samples[-1] if self.samples else Sample(self._last, 0.0, 0.0)

    def _recent(self, key: str, now: float, received: int) -> deque[tuple[float, int]]:
        known = self._nodes.get(key, deque())
        if not received:
            known.clear()
        known.append((now, received))
        while now - known[0][0] > _NODE_SECONDS:
            known.popleft()
        return known
