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

_LATEST_ROLLOUTS = 5


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
        self._webhooks = webhooks
        self._endings = Endings(store, [metrics.ended, webhooks.ended])
        self._retention = Retention(store)

    def tick(self) -> None:
        settings = self._site().settings
        self._endings.tick()
        if settings.webhooks:
            self._webhooks.rollouts_ended(self._rollouts.latest(_LATEST_ROLLOUTS))
        self._webhooks.tick()
        self._retention.tick(settings.events, self._clock())
