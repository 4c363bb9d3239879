# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes and the server say about nodes: kept in the store, and told to whoever listens."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from swarmstrap.wire import GAP, Event, Events
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
# Batches that a server on one core takes beside all else; where more nodes are at work, each says
# less often how far it is, but no node is silent for longer than that.
MOST_BATCHES_A_SECOND = 250
_LONGEST_PAUSE = 10.0


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


@dataclass(slots=True)
class Counters:
    """Since the server began. `behind` counts batches that came after a gap; `from_seeder` and
    `from_peers` are payload bytes.
    """

    batches: int = 0
    events: int = 0
    repeated: int = 0
    behind: int = 0
    lost: int = 0
    cut_off: int = 0
    from_seeder: int = 0
    from_peers: int = 0

    def received(self, before: Deployment, after: Deployment) -> None:
        """A fetch that began anew counts from nothing."""
        self.from_seeder += max(0, after.from_seeder - before.from_seeder)
        self.from_peers += max(0, after.from_peers - before.from_peers)


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
        self.counters = Counters()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def pause(self) -> float:
        """Seconds for which progress may wait, as `Taken` has it."""
        active = len(self._store.active())
        if active <= MOST_BATCHES_A_SECOND:
            return 0.0
        return min(_LONGEST_PAUSE, active / MOST_BATCHES_A_SECOND)

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
        """The deployment after `batch`; events that were taken before are skipped, and all are
        when some are missing before them.

        Progress is passed on and not kept: it is most of the traffic, and the next one replaces it.
        """
        self.counters.batches += 1
        if batch.after > max(0, deployment.sequence):
            self.counters.behind += 1
            return deployment
        granted, before = self._granting(deployment), deployment
        if all(event.kind == "progress" for event in batch.events):
            deployment, records = self._taken(deployment, batch, now)
            self._store.note_deployment(deployment)
        else:
            with self._store.transaction():
                deployment, records = self._taken(deployment, batch, now)
                self._store.save_deployment(deployment)
        self.counters.events += len(records)
        self.counters.repeated += len(batch.events) - len(records)
        self.counters.received(before, deployment)
        if self._granting(deployment) != granted:
            self._tell_followers(deployment.node)
        self._tell(deployment.node, records)
        return deployment

    def _taken(
        self, deployment: Deployment, batch: Events, now: float
    ) -> tuple[Deployment, list[Record]]:
        records = []
        for event in batch.events:
            after = after_event(deployment, event, now)
            if after is deployment:
                continue
            if begins_fetch(deployment, event):
                after = replace(after, out=already_out(after, self._store.active()))
            deployment = after
            if event.result == "fail":
                log.warning("%s: %s: %s", deployment.node, event.name, event.description)
            if event.kind == "progress":
                records.append(Record(id=0, received=now, node=deployment.node, event=event))
            else:
                self.counters.lost += event.name == GAP
                records.append(self._store.add_event(deployment.node, event, now))
        return deployment, records

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
        log.log(logging.WARNING if failed else logging.INFO, "%s: %s", node, description)
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
            slow = {listener for listener in self._listeners if not listener.offer(record)}
            self.counters.cut_off += len(slow)
            self._listeners -= slow
