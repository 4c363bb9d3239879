# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server does every few seconds beside its work: hands endings on, and forgets."""

from collections.abc import Callable

from swarmstrap_server.control.endings import Endings
from swarmstrap_server.control.retention import Retention
from swarmstrap_server.control.store import Store
from swarmstrap_server.metrics import Metrics
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.site.reading import Site
from swarmstrap_server.webhooks import Webhooks

# Rollouts that ended so long ago were told of, or ended before anybody wanted to hear.
_LATE_SECONDS = 600.0


class Upkeep:
    def __init__(
        self,
        site: Callable[[], Site],
        store: Store,
        rollouts: Rollouts,
        clock: Callable[[], float],
        metrics: Metrics,
        webhooks: Webhooks,
    ) -> None:
        self._site = site
        self._clock = clock
        self._rollouts = rollouts
        self._told: set[str] = set()
        self._webhooks = webhooks
        self._endings = Endings(store, [metrics.ended, webhooks.ended])
        self._retention = Retention(store)

    def tick(self) -> None:
        settings = self._site().settings
        self._endings.tick()
        if settings.webhooks:
            self._tell_of_rollouts()
        self._webhooks.tick()
        self._retention.tick(settings.events, self._clock())

    def _tell_of_rollouts(self) -> None:
        """After a restart again: to a hook that was told, the same letter is not written twice."""
        ended = self._rollouts.ended_since(self._clock() - _LATE_SECONDS)
        self._webhooks.rollouts_ended(map(self._rollouts.rollout, ended - self._told))
        self._told = ended
