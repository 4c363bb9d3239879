# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens, told once: the same events feed the console and the server.

Recording never waits. Events are kept until the server has acknowledged them; when a server is
away for long, progress is forgotten first and what began, ended or failed last.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from swarmstrap.errors import Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.outbox import Outbox
from swarmstrap.wire import Event, Events, Result, Taken, Usage

log = logging.getLogger(__name__)

Listener = Callable[[Event], None]
Send = Callable[[Events], Awaitable[Taken]]

_BATCH_SECONDS = 0.5
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)


class Recorder:
    """Numbers events and hands them to every listener at once. `clock` gives seconds since 1970.

    `name` is what was started last; whatever is recorded until the next start belongs to it.
    """

    def __init__(
        self, listeners: Sequence[Listener] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._listeners = listeners
        self._clock = clock
        self._sequence = 0
        self.name = ""

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
        for listener in self._listeners:
            listener(event)


class Reporter(Recorder):
    """Hands events to the server, too, by and by."""

    def __init__(
        self, listeners: Sequence[Listener] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__((self._keep, *listeners), clock=clock)
        self._outbox = Outbox()
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

    def _keep(self, event: Event) -> None:
        self._outbox.add(event)
        self._waiting.set()
        if event.kind != "progress":
            self._hurry.set()

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
