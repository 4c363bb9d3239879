# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server has not heard yet, and what of it is forgotten first when it is away for long."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter

from msgspec.structs import replace

from swarmstrap.wire import GAP, Event, Events

_BATCH = 200


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
