# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens, told once: the same events feed the console and the server.

Recording never waits. Events are kept until the server has acknowledged them; when a server is
away for long, progress is forgotten first and what began, ended or failed last.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Literal

from msgspec.structs import replace

from swarmstrap.errors import Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.wire import GAP, Event, Events, Result, Taken, Usage

log = logging.getLogger(__name__)

Listener = Callable[[Event], None]
Send = Callable[[Events], Awaitable[Taken]]

_BATCH = 200
_BATCH_SECONDS = 0.5
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)


class Outbox:
    """Events in order that the server has not acknowledged, at most `limit` of them. The last
    `kept` that it has acknowledged are here too: it may lose its last moments with its power.
    """

    def __init__(self, limit: int = 2000, kept: int = 500) -> None:
        self._events: deque[Event] = deque()
        self._limit = limit
        self._heard: deque[Event] = deque(maxlen=kept)
        # The last event that left `_heard`: nobody can say it again.
        self._gone = 0
        self._after = 0
        self._gap: Event | None = None
        self._lost = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    @property
    def urgent(self) -> bool:
        """Whether there is more than progress."""
        return any(event.kind != "progress" for event in self._events)

    def add(self, event: Event) -> None:
        last = self._events[-1] if self._events else None
        if last and last.kind == event.kind == "progress" and last.name == event.name:
            self._events.pop()  # nobody needs yesterday's percentage
        self._events.append(event)
        if len(self._events) > self._limit:
            self._forget()

    def whole(self) -> tuple[Event, ...]:
        """All that can still be told, whatever of it is acknowledged, and what cannot be."""
        gaps = [self._gap] if self._gap else []
        told = sorted([*gaps, *self._heard, *self._events], key=attrgetter("sequence"))
        if self._gone and told:
            told.insert(0, _gap(self._gone, told[0].time, lost=1))
        return tuple(told)

    def batch(self) -> Events:
        """The oldest; what is lost for good is said by one event in its place."""
        if not self._events:
            return Events(events=(), after=self._after)
        oldest = list(islice(self._events, _BATCH))
        if self._gap is not None and self._gap.sequence < oldest[-1].sequence:
            oldest = sorted([self._gap, *oldest], key=attrgetter("sequence"))
        return Events(events=tuple(oldest), after=self._after)

    def acknowledge(self, sequence: int) -> None:
        """The server has everything up to `sequence`, which may be less than it had."""
        if sequence < self._after:
            self._say_again(sequence)
        while self._events and self._events[0].sequence <= sequence:
            event = self._events.popleft()
            if event.kind != "progress":
                if len(self._heard) == self._heard.maxlen:
                    self._gone = self._heard[0].sequence
                self._heard.append(event)
        if self._gap is not None and self._gap.sequence <= sequence:
            self._gap, self._lost = None, 0
        self._after = sequence

    def give_up(self, sequence: int) -> None:
        """The server will never take what it was sent up to `sequence`."""
        while self._events and self._events[0].sequence <= sequence:
            self._lose(self._events.popleft())

    def put_back(self, seconds: float) -> None:
        """So much earlier than recorded."""
        self._events = deque(replace(e, time=e.time - seconds) for e in self._events)

    def _say_again(self, sequence: int) -> None:
        again = [event for event in self._heard if event.sequence > sequence]
        for event in again:
            self._heard.remove(event)
        self._events.extendleft(reversed(again))
        if sequence < self._gone:
            first = self._events[0] if self._events else None
            now = first.time if first else 0.0
            self._lose(Event(sequence=self._gone, time=now, kind="log", name=""))

    def _forget(self) -> None:
        for kind in ("progress", "log", "start"):
            for event in self._events:
                if event.kind == kind:
                    self._events.remove(event)
                    self._lose(event)
                    return
        self._lose(self._events.popleft())

    def _lose(self, event: Event) -> None:
        if event.kind == "progress":
            return
        self._lost += 1
        before = self._gap.sequence if self._gap else 0
        self._gap = _gap(max(event.sequence, before), event.time, self._lost)


def _gap(sequence: int, time: float, lost: int) -> Event:
    """It stands for the last of them, so whoever has that one leaves it out."""
    return Event(
        sequence=sequence,
        time=time,
        kind="log",
        name=GAP,
        description=f"{lost} events or more before this one are lost",
        result="warning",
        hint="the server was away for long; the node's own log has what happened",
    )


class Reporter:
    """Numbers events, hands them to every listener at once, and to the server by and by.

    `name` is what was started last; whatever is recorded until the next start belongs to it.
    """

    def __init__(
        self, listeners: Sequence[Listener] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._listeners = listeners
        self._clock = clock
        self._outbox = Outbox()
        self._sequence = 0
        self.name = ""
        self._waiting = asyncio.Event()
        self._drained = asyncio.Event()
        self._hurry = asyncio.Event()
        self._pause = 0.0
        self._sending: asyncio.Task[None] | None = None
        self._silent = False

    @property
    def connected(self) -> bool:
        return self._sending is not None

    @property
    def unheard(self) -> tuple[Event, ...]:
        """What a server that does not answer may lack, which is more than it was not sent: its
        last moments may be gone. Nothing while it answers.
        """
        return self._outbox.whole() if self._silent else ()

    def put_back(self, seconds: float) -> None:
        """The clock was so far ahead when the events so far were recorded."""
        self._outbox.put_back(seconds)

    def start(self, name: str, description: str) -> None:
        self.name = name
        self._record("start", description)

    def succeed(self, description: str = "") -> None:
        self._record("finish", description, result="success")

    def fail(self, error: SwarmstrapError, *, again: bool = False) -> None:
        """`again`: this is not the end, the node is about to have another try."""
        result: Result = "warning" if again else "fail"
        self._record("finish", error.message, result=result, hint=error.hint)

    def warn(self, description: str, hint: str = "") -> None:
        self._record("log", description, result="warning", hint=hint)

    def log(self, description: str) -> None:
        self._record("log", description)

    def attach(self, text: str) -> None:
        """Many lines for the server alone, as an event named `log`: the node is about to forget."""
        name, self.name = self.name, "log"
        self._record("log", text)
        self.name = name

    def progress(
        self,
        fraction: float,
        *,
        from_seeder: int | None = None,
        from_peers: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        """How far what was started last has come, 0..1; payload bytes by where they came from."""
        self._record(
            "progress",
            progress=fraction,
            from_seeder=from_seeder,
            from_peers=from_peers,
            usage=usage,
        )

    def connect(self, send: Send) -> None:
        """From now on events travel: everything recorded so far, then the rest as it happens."""
        self._sending = asyncio.create_task(self._deliver(send), name="deliver events")

    async def flush(self, seconds: float) -> bool:
        """Wait until the server has everything, at most `seconds`; false when it has not."""
        if self._sending is None:
            return not self._outbox
        self._hurry.set()
        try:
            async with asyncio.timeout(seconds):
                while self._outbox:
                    self._drained.clear()
                    await self._drained.wait()
        except TimeoutError:
            log.warning("%d events did not reach the server in %.0f s", len(self._outbox), seconds)
        return not self._outbox

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
            self._sending = None

    def _record(
        self,
        kind: Literal["start", "progress", "finish", "log"],
        description: str = "",
        *,
        result: Result = "",
        hint: str = "",
        progress: float | None = None,
        from_seeder: int | None = None,
        from_peers: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        self._sequence += 1
        event = Event(
            sequence=self._sequence,
            time=self._clock(),
            kind=kind,
            name=self.name,
            description=description,
            result=result,
            hint=hint,
            progress=progress,
            from_seeder=from_seeder,
            from_peers=from_peers,
            usage=usage,
        )
        self._outbox.add(event)
        self._waiting.set()
        if kind != "progress":
            self._hurry.set()
        for listener in self._listeners:
            listener(event)

    async def _deliver(self, send: Send) -> None:
        while True:
            await self._waiting.wait()
            await asyncio.sleep(_BATCH_SECONDS)
            await self._patience()
            self._waiting.clear()
            failures = 0
            while self._outbox:
                try:
                    await self._send_batch(send)
                    failures = 0
                except (Unreachable, Untrusted) as error:
                    log.warning("events wait: %s", error)
                    self._silent = True
                    await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                    failures += 1
            self._drained.set()

    async def _patience(self) -> None:
        """As long as the server wants it, progress waits for more of it, and for nothing else."""
        self._hurry.clear()
        if self._pause and not self._outbox.urgent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._pause)

    async def _send_batch(self, send: Send) -> None:
        batch = self._outbox.batch()
        try:
            taken = await send(batch)
        except Refused as error:
            log.error("%d events refused for good: %s", len(batch.events), error)
            self._outbox.give_up(batch.events[-1].sequence)
        else:
            self._outbox.acknowledge(taken.sequence)
            self._pause = taken.pause
        self._silent = False
