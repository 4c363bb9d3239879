# SPDX-License-Identifier: GPL-2.0-or-later
"""What one node tells its server while it is deployed, and when. Pure.

The shape is that of an agent's log: a dozen short steps, a fetch that reports every second, a dozen
steps more. Whatever the steps would do is left out, the time that they take is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from swarmstrap.reporter import Recorder
from swarmstrap.wire import Event, Usage

_BEFORE = ("look", "ask", "decide", "say")
_DISKS = ("release", "wipe", "partition", "esp", "root", "swap", "mount root", "mount esp")
_SYSTEM = ("fstab", "hostname", "network", "keys", "initramfs", "grub", "entries", "hook")
_LINES = 3
_STEP_SECONDS = 0.6
REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` seconds after the job was taken; `left` bytes of the image are then missing."""

    at: float
    event: Event
    left: int


class Script:
    """`payload` bytes come within `fetch` seconds, a third of them from the seeder."""

    def __init__(self, payload: int, fetch: float, began: float) -> None:
        self._payload = payload
        self._fetch = fetch
        self._at = 0.0
        self._said: list[Event] = []
        self._report = Recorder([self._said.append], clock=lambda: began + self._at)

    def moments(self) -> Iterator[Moment]:
        """In order, each recorded when it is asked for."""
        for _ in self._course():
            for event in self._said:
                left = self._payload - (event.from_seeder or 0) - (event.from_peers or 0)
                yield Moment(self._at, event, left)
            self._said.clear()

    def _course(self) -> Iterator[None]:
        """Stops wherever something has been said."""
        for name in _BEFORE:
            self._report.start(name, f"{name} at it")
            for line in range(_LINES):
                self._report.log(f"line {line} of some sixty characters for {name}")
            self._report.succeed()
            yield
            self._at += 0.2
        number = 0
        for phase, steps in (("disks", _DISKS), ("image", ("fetch",)), ("system", _SYSTEM)):
            for step in steps:
                number += 1
                self._report.start(
                    f"do/{phase}/{number}", f"{step} the thing at /dev/disk/by-id/nvme-1"
                )
                yield
                if phase == "image":
                    yield from self._fetching()
                else:
                    self._at += _STEP_SECONDS
                self._report.succeed()
                yield
        for phase in ("seed", "finish"):
            number += 1
            self._report.start(f"do/{phase}/{number}", f"{phase} as the job says")
            self._report.succeed()
            yield

    def _fetching(self) -> Iterator[None]:
        began = self._at
        for tick in range(1, int(self._fetch / REPORT_SECONDS) + 1):
            seconds = tick * REPORT_SECONDS
            self._at = began + seconds
            share = min(1.0, seconds / self._fetch)
            got = int(self._payload * share)
            self._report.progress(
                share, from_seeder=got // 3, from_peers=got - got // 3, usage=_usage(seconds)
            )
            yield
        self._at = began + self._fetch


def _usage(seconds: float) -> Usage:
    return Usage(
        seconds=seconds,
        link_rate=125_000_000,
        best_rate=110_000_000,
        cores=8,
        processor=seconds * 0.9,
        own=seconds * 0.7,
        thread=seconds * 0.4,
        disk=seconds * 0.3,
        disk_wait=seconds * 0.1,
    )
