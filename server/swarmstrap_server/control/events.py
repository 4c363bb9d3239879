# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes and the server say about nodes: kept in the store, and told to whoever listens."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from msgspec.structs import replace

from swarmstrap.wire import Event, Events
from swarmstrap_server.control.limits import already_out
from swarmstrap_server.control.nodes import Deployment, after_event, begins_fetch
from swarmstrap_server.control.operator_wire import NodeView, Record
from swarmstrap_server.control.store import Store

log = logging.getLogger(__name__)

Viewer = Callable[[str], NodeView]
Granting = Callable[[Deployment], bool]
Follower = Callable[[str], None]

# Records that a listener may lag behind before it is cut off: some minutes of a thousand nodes.
_BACKLOG = 10_000


class Listener:
    """One subscriber's queue; iteration ends when it fell too far behind, or was told to end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Record | None] = asyncio.Queue(_BACKLOG)
        self._ended = False

    def offer(self, record: Record) -> bool:
        """False when this listener is too slow and hears no more."""
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            self._ended = True
        return not self._ended

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Record]:
        while not (self._ended and self._queue.empty()):
            record = await self._queue.get()
            if record is not None:
                yield record


class Feed:
    """Takes events in, once each, and passes them on with the node as it is afterwards. `granting`
    says whether a deployment lets its node install.
    """

    def __init__(self, store: Store, view: Viewer, granting: Granting) -> None:
        self._store = store
        self._view = view
        self._granting = granting
        self._listeners: set[Listener] = set()
        self._followers: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Call it with a node's name whenever the server grants the node something or takes it
        back, before whoever caused that is answered.
        """
        self._followers.append(follower)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def end(self) -> None:
        """The server stops: every listener hears out what is queued, and is done."""
        for listener in self._listeners:
            listener.end()

    def take(self, deployment: Deployment, batch: Events, now: float) -> Deployment:
        """The deployment after `batch`; events that were taken before are skipped.

        Progress is passed on and not kept: it is most of the traffic, and the next one replaces it.
        """
        records = []
        granted = self._granting(deployment)
        with self._store.transaction():
            for event in batch.events:
                after = after_event(deployment, event, now)
                if after is deployment:
                    continue
                if begins_fetch(deployment, event):
                    after = replace(after, out=already_out(after, self._store.active()))
                deployment = after
                if event.kind == "progress":
                    records.append(Record(id=0, received=now, node=deployment.node, event=event))
                else:
                    records.append(self._store.add_event(deployment.node, event, now))
            self._store.save_deployment(deployment)
        if self._granting(deployment) != granted:
            self._tell_followers(deployment.node)
        self._tell(deployment.node, records)
        return deployment

    def note(
        self,
        node: str,
        name: str,
        description: str,
        now: float,
        *,
        failed: bool = False,
        hint: str = "",
    ) -> None:
        """What the server itself has to say about `node`: armed, refused, expired."""
        event = Event(
            sequence=0,
            time=now,
            kind="log",
            name=f"server/{name}",
            description=description,
            result="fail" if failed else "",
            hint=hint,
        )
        log.info("%s: %s", node, description)
        self._tell_followers(node)
        self._tell(node, [self._store.add_event(node, event, now)])

    def _tell_followers(self, node: str) -> None:
        for follower in self._followers:
            follower(node)

    def _tell(self, node: str, records: Sequence[Record]) -> None:
        if not (self._listeners and records):
            return
        # Only the last one tells what became of the node: who waits for its end has heard the rest.
        for record in (*records[:-1], replace(records[-1], view=self._view(node))):
            self._listeners = {listener for listener in self._listeners if listener.offer(record)}
