# SPDX-License-Identifier: GPL-2.0-or-later
"""What one node tells its server while it is deployed, and when. Pure.

The shape is that of an agent's log: a dozen short steps, a fetch that reports every second, a dozen
steps more. Whatever the steps would do is left out, the time that they take is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from swarmstrap.wire import Event, Result, Usage

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
        self._began = began
        self._sequence = 0

    def moments(self) -> Iterator[Moment]:
        at = 0.0
        for name in _BEFORE:
            yield self._moment(at, "start", name, f"{name} at it")
            for line in range(_LINES):
                yield self._moment(
                    at, "log", name, f"line {line} of some sixty characters for {name}"
                )
            yield self._moment(at, "finish", name, result="success")
            at += 0.2
        number = 0
        for phase, steps in (("disks", _DISKS), ("image", ("fetch",)), ("system", _SYSTEM)):
            for step in steps:
                number += 1
                name = f"do/{phase}/{number}"
                yield self._moment(at, "start", name, f"{step} the thing at /dev/disk/by-id/nvme-1")
                if phase == "image":
                    yield from self._progress(at, name)
                    at += self._fetch
                else:
                    at += _STEP_SECONDS
                yield self._moment(at, "finish", name, result="success")
        for phase in ("seed", "finish"):
            number += 1
            name = f"do/{phase}/{number}"
            yield self._moment(at, "start", name, f"{phase} as the job says")
            yield self._moment(at, "finish", name, result="success")

    def _progress(self, at: float, name: str) -> Iterator[Moment]:
        for tick in range(1, int(self._fetch / REPORT_SECONDS) + 1):
            seconds = tick * REPORT_SECONDS
            share = min(1.0, seconds / self._fetch)
            usage = Usage(
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
            got = int(self._payload * share)
            yield self._moment(
                at + seconds,
                "progress",
                name,
                progress=share,
                from_seeder=got // 3,
                from_peers=got - got // 3,
                usage=usage,
            )

    def _moment(
        self,
        at: float,
        kind: Literal["start", "progress", "finish", "log"],
        name: str,
        description: str = "",
        *,
        result: Result = "",
        progress: float | None = None,
        from_seeder: int | None = None,
        from_peers: int | None = None,
        usage: Usage | None = None,
    ) -> Moment:
        self._sequence += 1
        event = Event(
            sequence=self._sequence,
            time=self._began + at,
            kind=kind,
            name=name,
            description=description,
            result=result,
            progress=progress,
            from_seeder=from_seeder,
            from_peers=from_peers,
            usage=usage,
        )
        return Moment(at, event, self._payload - (from_seeder or 0) - (from_peers or 0))
