# SPDX-License-Identifier: GPL-2.0-or-later
"""From counters of the kernel, read every second, to what a fetch has taken of its node. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from swarmstrap.wire import Usage

# The window of `best_rate`; the one who reads may be a little early.
_WINDOW_SECONDS = 0.9
_NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Schedule:
    """A line of /proc/PID/schedstat: seconds of a thread on a processor, and waiting for one."""

    running: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment, of which only differences mean anything; `time` is monotonic.

    `incoming` are bytes of the node's NIC, headers included; `kernel` seconds that all cores
    together spent in it, `user` those that the agent and each writer spent outside, by process id.
    `disks` are seconds in which each of them had requests; `busy` are those that writers spent on
    requests, summed up. `threads` are the agent's, `writers` have one each, both by thread id.
    """

    time: float
    incoming: int = 0
    kernel: float = 0.0
    user: Mapping[int, float] = field(default_factory=dict)
    disks: Mapping[str, float] = field(default_factory=dict)
    busy: float = 0.0
    threads: Mapping[int, Schedule] = field(default_factory=dict)
    writers: Mapping[int, Schedule] = field(default_factory=dict)


class Gauge:
    """Takes readings, gives what has been used since the first of them.

    Readings are a second apart or more. `link_rate` as in `Usage`, `cores` those of the machine.
    """

    def __init__(self, first: Reading, *, link_rate: int, cores: int) -> None:
        self._first = first
        self._window = first
        self._usage = Usage(seconds=0.0, link_rate=link_rate, cores=cores)
        # Threads and writers end, what they have used stays.
        self._threads = dict(first.threads)
        self._writers: dict[int, Schedule] = {}
        self._user = dict(first.user)

    def take(self, reading: Reading) -> Usage:
        first = self._first
        self._threads.update(reading.threads)
        self._writers.update(reading.writers)
        self._user.update(reading.user)
        before = {thread: schedule.running for thread, schedule in first.threads.items()}
        used = [now.running - before.get(thread, 0.0) for thread, now in self._threads.items()]
        used += [writer.running for writer in self._writers.values()]
        user = sum(self._user.values()) - sum(first.user.values())
        disks = [reading.disks[d] - first.disks[d] for d in first.disks if d in reading.disks]
        self._usage = msgspec.structs.replace(
            self._usage,
            seconds=reading.time - first.time,
            best_rate=max(self._usage.best_rate, *self._rates(reading)),
            processor=reading.kernel - first.kernel + user,
            own=sum(used),
            thread=max(used, default=0.0),
            disk=max(disks, default=None),
            disk_wait=self._stood_still(reading),
        )
        return self._usage

    def _rates(self, reading: Reading) -> tuple[int, int]:
        """Bytes a second since the beginning, and since the window was opened."""
        before = self._window
        if reading.time - before.time >= _WINDOW_SECONDS:
            self._window = reading
        return _rate(self._first, reading), _rate(before, reading)

    def _stood_still(self, reading: Reading) -> float | None:
        """What is left of the writers' time when they neither ran nor waited for a processor."""
        if not self._writers:
            return None
        writers = self._writers.values()
        return max(0.0, reading.busy - sum(w.running + w.waiting for w in writers))


def _rate(before: Reading, now: Reading) -> int:
    """0 unless they are far enough apart."""
    seconds = now.time - before.time
    return int((now.incoming - before.incoming) / seconds) if seconds >= _WINDOW_SECONDS else 0


def parse_schedule(line: str) -> Schedule:
    """Nanoseconds on a processor, nanoseconds in its queue, and a count."""
    running, waiting, *_ = line.split()
    return Schedule(int(running) * _NANO, int(waiting) * _NANO)


def parse_kernel(stat: str, ticks: int) -> float:
    """Seconds that all cores together spent in the kernel, from /proc/stat; `ticks` are in a
    second. Time that a hypervisor gave to others is gone like time that was used.
    """
    _user, _nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.split()[1:9])
    return (system + irq + softirq + steal) / ticks


def parse_user(stat: str, ticks: int) -> float:
    """Seconds that a process spent outside the kernel, from /proc/PID/stat; its name, in brackets,
    may be anything.
    """
    return int(stat.rpartition(")")[2].split()[11]) / ticks


def parse_disk(stat: str) -> float:
    """Seconds with requests in flight, from a `stat` of sysfs: what iostat calls %util."""
    return int(stat.split()[9]) / 1000


class _Link(msgspec.Struct):
    ifname: str = ""


def parse_link(shown: str) -> str:
    """The name of the one interface in `ip -json address show to ADDRESS`, or nothing."""
    links = msgspec.json.decode(shown or "[]", type=list[_Link])
    return next((link.ifname for link in links if link.ifname), "")
