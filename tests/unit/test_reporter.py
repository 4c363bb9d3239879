# SPDX-License-Identifier: GPL-2.0-or-later
"""Events reach the server in order, once acknowledged are gone, and never hold up the work."""

import asyncio

from swarmstrap.errors import Refused, StepFailed, Unreachable, Untrusted
from swarmstrap.outbox import Outbox
from swarmstrap.reporter import Reporter
from swarmstrap.wire import Event, Events, Taken


class Server:
    """Takes what a server takes, after answering with each of `answers` once."""

    def __init__(self, *answers: Exception, pause: float = 0.0) -> None:
        self.answers = list(answers)
        self.pause = pause
        self.taken: list[Event] = []
        self.batches = 0

    @property
    def seen(self) -> list[int]:
        return [event.sequence for event in self.taken]

    @property
    def sequence(self) -> int:
        return self.taken[-1].sequence if self.taken else 0

    async def __call__(self, events: Events) -> Taken:
        self.batches += 1
        if self.answers:
            raise self.answers.pop(0)
        if events.after <= self.sequence:
            self.taken += [e for e in events.events if e.sequence > self.sequence]
        return Taken(sequence=self.sequence, pause=self.pause)

    def lose(self, sequence: int) -> None:
        """The power went before what came after that was on the disk."""
        self.taken = [event for event in self.taken if event.sequence <= sequence]


def event(sequence: int, kind: str = "log", name: str = "do") -> Event:
    return Event(sequence=sequence, time=0.0, kind=kind, name=name)  # type: ignore[arg-type]


async def test_everything_recorded_before_the_session_is_sent_in_order() -> None:
    server, heard = Server(), list[Event]()
    report = Reporter([heard.append], clock=lambda: 12.5)
    report.start("look", "look at the hardware")
    report.succeed()
    report.connect(server)
    report.start("do/disks/1", "wipe a disk")
    report.fail(StepFailed("disk on fire", hint="call the fire brigade"))
    assert await report.flush(5)
    await report.close()
    assert server.seen == [1, 2, 3, 4]
    assert [(e.kind, e.name, e.result) for e in heard] == [
        ("start", "look", ""),
        ("finish", "look", "success"),
        ("start", "do/disks/1", ""),
        ("finish", "do/disks/1", "fail"),
    ]
    assert heard[-1].description == "disk on fire"
    assert heard[-1].hint == "call the fire brigade"
    assert heard[-1].time == 12.5


async def test_a_batch_is_sent_again_until_the_server_takes_it() -> None:
    server = Server(Unreachable("no answer"))
    report = Reporter()
    report.connect(server)
    report.log("one")
    assert await report.flush(10)
    assert server.seen == [1]
    await report.close()


async def test_a_refused_batch_is_dropped_and_the_next_one_travels() -> None:
    server = Server(Refused("session is over"))
    report = Reporter()
    report.connect(server)
    report.log("refused")
    assert await report.flush(5)
    report.log("taken")
    assert await report.flush(5)
    assert server.seen == [1, 2]
    assert server.taken[0].result == "warning"
    assert "1 events or more before this one are lost" in server.taken[0].description
    await report.close()


async def test_a_server_that_lost_its_last_moments_is_told_again() -> None:
    server, report = Server(), Reporter()
    report.connect(server)
    for word in ("one", "two", "three"):
        report.log(word)
        assert await report.flush(5)
    server.lose(1)
    report.log("four")
    assert await report.flush(5)
    assert [event.description for event in server.taken] == ["one", "two", "three", "four"]
    await report.close()


async def test_progress_waits_as_long_as_the_server_wants_and_nothing_else_does() -> None:
    server, report = Server(pause=30.0), Reporter()
    report.connect(server)
    report.start("do/image/1", "fetch")
    assert await report.flush(5)
    before = server.batches
    for share in (0.1, 0.2, 0.3):
        report.progress(share)
        await asyncio.sleep(0.4)
    assert server.batches == before
    report.succeed()
    assert await report.flush(5)
    assert [event.progress for event in server.taken] == [None, 0.3, None]
    await report.close()


async def test_flush_has_an_end_when_the_server_never_answers() -> None:
    async def silent(events: Events) -> Taken:
        await asyncio.Event().wait()
        raise AssertionError

    report = Reporter()
    report.connect(silent)
    report.log("into the void")
    assert not await report.flush(0.7)
    await report.close()


async def test_what_a_silent_server_has_not_heard_can_be_kept() -> None:
    silent = asyncio.Event()

    async def send(events: Events) -> Taken:
        silent.set()
        raise Untrusted("another server answers there")

    report = Reporter()
    report.log("before there is a server")
    assert list(report.unheard) == []
    report.connect(send)
    await asyncio.wait_for(silent.wait(), 5)
    report.log("nobody hears")
    assert [e.description for e in report.unheard] == [
        "before there is a server",
        "nobody hears",
    ]
    await report.close()


async def test_what_is_kept_has_what_was_acknowledged_as_well() -> None:
    """A server whose power went may have lost it again."""
    outbox = Outbox(kept=2)
    for sequence in (1, 2, 3, 4, 5):
        outbox.add(event(sequence))
    outbox.acknowledge(4)
    gap, *rest = outbox.whole()
    assert (gap.sequence, gap.name, gap.result) == (2, "events", "warning")
    assert [e.sequence for e in rest] == [3, 4, 5]
    assert [e.sequence for e in outbox] == [5]


async def test_a_server_that_answers_again_has_heard_everything() -> None:
    server = Server(Unreachable("no answer"), Untrusted("not yet the right one"))
    report = Reporter()
    report.connect(server)
    report.log("one")
    assert await report.flush(10)
    assert (server.seen, report.unheard) == ([1], ())
    await report.close()


async def test_events_before_the_clock_was_set_are_corrected() -> None:
    times: list[float] = []

    async def send(events: Events) -> Taken:
        times.extend(event.time for event in events.events)
        return Taken(sequence=events.events[-1].sequence)

    now = 1000.0
    report = Reporter(clock=lambda: now)
    report.start("look", "look at the hardware")
    report.put_back(900.0)
    now = 101.0
    report.succeed()
    report.connect(send)
    assert await report.flush(5)
    assert times == [100.0, 101.0]
    await report.close()


def sequences(outbox: Outbox) -> list[int]:
    return [event.sequence for event in outbox.batch().events]


def test_only_the_latest_progress_is_kept() -> None:
    outbox = Outbox()
    for sequence in range(1, 4):
        outbox.add(event(sequence, "progress"))
    outbox.add(event(4, "progress", name="other"))
    assert sequences(outbox) == [3, 4]


def test_a_full_outbox_forgets_progress_first_and_endings_last() -> None:
    """What it forgot but for progress is said by one event, in the place of the last of them."""
    outbox = Outbox(limit=4)
    for sequence, kind in enumerate(("start", "progress", "log", "finish"), start=1):
        outbox.add(event(sequence, kind))
    left = ((5, [1, 3, 4, 5]), (6, [1, 3, 4, 5, 6]), (7, [3, 4, 5, 6, 7]))
    for sequence, rest in left:
        outbox.add(event(sequence, "finish"))
        assert sequences(outbox) == rest
    gap = outbox.batch().events[0]
    assert (gap.name, gap.result) == ("events", "warning")
    assert gap.description == "2 events or more before this one are lost"
    outbox.acknowledge(7)
    outbox.add(event(8))
    assert sequences(outbox) == [8]


def test_acknowledged_events_are_gone() -> None:
    outbox = Outbox()
    for sequence in (1, 2, 3):
        outbox.add(event(sequence))
    outbox.acknowledge(2)
    assert sequences(outbox) == [3]
    assert outbox.batch().after == 2


def test_what_cannot_be_said_again_is_one_event() -> None:
    outbox = Outbox(kept=2)
    for sequence in range(1, 6):
        outbox.add(event(sequence))
    outbox.acknowledge(5)
    outbox.acknowledge(1)  # the server lost four of them, and two are still known here
    batch = outbox.batch()
    assert [(e.sequence, e.name) for e in batch.events] == [(3, "events"), (4, "do"), (5, "do")]
    assert batch.after == 1
