# SPDX-License-Identifier: GPL-2.0-or-later
"""All nodes as they are now, kept up to date from the feed while somebody looks at a page."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from swarmstrap_server.control import views
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.events import Listener
from swarmstrap_server.control.limits import Run
from swarmstrap_server.control.operator_wire import NodeView
from swarmstrap_server.dashboard.rates import SAMPLE_SECONDS, Rates
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.words import ALL

log = logging.getLogger(__name__)

_RUNS_SECONDS = 15.0


class Watch:
    """One for all browsers: each batch of events is looked at once, and nobody who looks costs a
    query a node. `rates` are sampled all the time, so that a page begins with a history.
    """

    def __init__(self, deployments: Deployments, rates: Rates) -> None:
        self._deployments = deployments
        self.rates = rates
        self._views: dict[str, NodeView] = {}
        self._site: Site | None = None
        self._groups: dict[str, tuple[str, ...]] = {}
        self._runs: tuple[Run, ...] = ()
        self._runs_at = 0.0
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.version = 0

    @property
    def nodes(self) -> Mapping[str, NodeView]:
        """By name, in order."""
        if not self._followers or self._site is not self._deployments.site:
            self._look()
        return self._views

    def runs(self, now: float) -> tuple[Run, ...]:
        """The last ones. They are found among all that was ever deployed, so now and then only."""
        if now - self._runs_at >= _RUNS_SECONDS:
            self._runs, self._runs_at = views.latest_runs(self._deployments.store), now
        return self._runs

    def groups_of(self, node: str) -> tuple[str, ...]:
        return self._groups.get(node, ())

    @contextlib.asynccontextmanager
    async def follow(self) -> AsyncIterator[None]:
        """While this is held, `nodes` costs nothing and `changed` hears of everything."""
        if self.ended:
            self._task = asyncio.create_task(self._hear())
            await asyncio.sleep(0)  # it begins to listen, and looks at what is
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._task is not None:
                task, self._task = self._task, None  # who comes meanwhile begins another
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def changed(self, seen: int, seconds: float) -> None:
        """Returns as soon as `version` is not `seen` any more, or after so many seconds."""
        if self.version == seen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    @property
    def ended(self) -> bool:
        """Nothing is heard any more: who follows connects again, which begins anew, or finds that
        the server stops.
        """
        return self._task is None or self._task.done()

    async def sample(self) -> None:
        """Until cancelled; a sample that fails is one less."""
        while True:
            try:
                self.rates.take(self._deployments.store.active(), self._deployments.clock())
            except Exception:
                log.exception("no rates of this moment")
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _hear(self) -> None:
        try:
            with self._deployments.feed.listen() as listener:
                self._look()
                await self._take(listener)
        except Exception:
            log.exception("the pages hear of nodes no more, and connect again")
        self._tell()

    async def _take(self, listener: Listener) -> None:
        """Until the server ends, or this fell too far behind: pages then connect again."""
        async for record in listener:
            if record.view is not None:
                known = record.node in self._views
                self._views[record.node] = record.view
                if not known:
                    self._views = dict(sorted(self._views.items()))
            self._tell()

    def _tell(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _look(self) -> None:
        self._site = self._deployments.site
        found = views.node_views(self._site, self._deployments.store)
        self._views = {view.name: view for view in found}
        self._groups = groups_by_node(self._site)


def groups_by_node(site: Site) -> dict[str, tuple[str, ...]]:
    """The groups of each node but for `all`, and its rack."""
    return {
        name: tuple(dict.fromkeys(filter(_telling, (*node.groups, node.rack))))
        for name, node in site.nodes.items()
    }


def _telling(group: str) -> bool:
    return group not in ("", ALL)
