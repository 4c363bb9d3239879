# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens, told once: the same events feed the console and the server.

Recording never waits. Events are kept until the server has acknowledged them; when a server is
away for long, progress is forgotten first and what began, ended or failed last.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal

from msgspec.structs import replace

from swarmstrap.errors import Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.wire import Event, Events, Result, Usage

log = logging.getLogger(__name__)

Listener = Callable[[Event], None]
Send = Callable[[Events], Awaitable[None]]

_BATCH = 200
_BATCH_SECONDS = 0.5
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)


class Outbox:
    """Events in order that the server has not acknowledged, at most `limit` of them."""

    def __init__(self, limit: int = 2000) -> None:
        self._events: deque[Event] = deque()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def add(self, event: Event) -> None:
        last = self._events[-1] if self._events else None
        if last and last.kind == event.kind == "progress" and last.name == event.name:
            self._events.pop()  # nobody needs yesterday's percentage
        self._events.append(event)
        if len(self._events) > self._limit:
            self._forget()

    def batch(self) -> tuple[Event, ...]:
        return tuple(event for event, _ in zip(self._events, range(_BATCH), strict=False))

    def acknowledge(self, sequence: int) -> None:
        while self._events and self._events[0].sequence <= sequence:
            self._events.popleft()

    def put_back(self, seconds: float) -> None:
        """So much earlier than recorded."""
        self._events = deque(replace(e, time=e.time - seconds) for e in self._events)

    def _forget(self) -> None:
        for kind in ("progress", "log", "start"):
            for event in self._events:
                if event.kind == kind:
                    self._events.remove(event)
                    return
        self._events.popleft()


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
        self._sending: asyncio.Task[None] | None = None
        self._silent = False

    @property
    def connected(self) -> bool:
        return self._sending is not None

    @property
    def unheard(self) -> tuple[Event, ...]:
        """What a server that does not answer has not heard; nothing while it answers."""
        return tuple(self._outbox) if self._silent else ()

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
        for listener in self._listeners:
            listener(event)

    async def _deliver(self, send: Send) -> None:
        failures = 0
        while True:
            await self._waiting.wait()
            await asyncio.sleep(_BATCH_SECONDS)
            self._waiting.clear()
            while batch := self._outbox.batch():
                try:
                    await send(Events(events=batch))
                except (Unreachable, Untrusted) as error:
                    log.warning("events wait: %s", error)
                    self._silent = True
                    await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                    failures += 1
                    continue
                except Refused as error:
                    log.error("%d events refused for good: %s", len(batch), error)
                failures, self._silent = 0, False
                self._outbox.acknowledge(batch[-1].sequence)
            self._drained.set()
