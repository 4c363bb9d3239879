# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person at the machine sees, as text: decided from events, drawn by nobody here.

Lines stay on the screen and in the serial log; the one status line says what goes on now. Only
plain ASCII, at most WIDTH columns, so that a BMC's serial view and a log show the same.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import get_args

from swarmstrap.cmdline import Part
from swarmstrap.errors import with_hint
from swarmstrap.limits import Limit, limit, node_demands
from swarmstrap.steps import Phase
from swarmstrap.units import human
from swarmstrap.wire import Event

WIDTH = 80
PREFIX = "swarmstrap: "
PARTS: tuple[str, ...] = (*get_args(Part), *get_args(Phase))

_BAR = 12
_RATE_SECONDS = 8.0


def part_of(name: str) -> str:
    """The part of the story that an event belongs to: `look`, or the phase in `do/PHASE/NUMBER`."""
    return name.split("/")[1] if name.startswith("do/") else name


@dataclass(slots=True)
class Display:
    """Hears events in order. `node` and `image` are filled in when the server has told them."""

    node: str = ""
    image: str = ""
    current: str = ""
    failed: bool = False
    progress: float | None = None
    from_seeder: int = 0
    from_peers: int = 0
    limit: Limit | None = None
    _doing: str = ""
    _since: float = 0.0
    _began: float = 0.0
    _samples: deque[tuple[float, int, float]] = field(default_factory=deque)

    def hear(self, event: Event) -> list[str]:
        """The lines that `event` is worth, without line ends; none for progress."""
        match event.kind:
            case "start":
                return self._start(event)
            case "progress":
                self._sample(event)
                return []
            case "finish" if event.result in ("fail", "warning"):
                return self._fail(event)
            case "finish":
                return []
            case "log" if event.name == "log":
                return []  # an excerpt of what is on this machine anyway
            case "log":
                mark = "warning: " if event.result == "warning" else ""
                return _lines(f"{mark}{event.description}", event.hint)

    def status(self, now: float) -> str:
        """What goes on now, in one line of less than WIDTH columns: it must never wrap."""
        if self.failed or not self.current:
            return ""
        seconds = f"{now - self._since:.0f} s"
        if self.progress is None:
            text = f"{self._doing} ... {seconds}"
        else:
            done = round(self.progress * _BAR)
            text = (
                f"[{'#' * done}{'-' * (_BAR - done)}] {self.progress:4.0%} {self._rate()}"
                f"{self._sources()}{f'  {self.limit}' if self.limit else ''}"
            )
        return text[: WIDTH - 1]

    def board(self) -> str:
        """Every part of the story: left of the one in brackets is done, right of it is to come."""
        return " ".join(f"[{part.upper()}]" if part == self.current else part for part in PARTS)

    def _start(self, event: Event) -> list[str]:
        part = part_of(event.name)
        lines = []
        if part != self.current:
            if self.current and not self.failed:
                took = event.time - self._began
                lines.append(f"{PREFIX}{self.current} done in {took:.1f} s")
            self.current, self._began = part, event.time
            if part in PARTS:
                lines.append(self.board())
        self.failed = False
        self.progress = self.limit = None
        self._samples.clear()
        self._doing, self._since = event.description, event.time
        return [*lines, *_lines(event.description)]

    def _fail(self, event: Event) -> list[str]:
        self.failed = True
        title = part_of(event.name) + (f" on {self.node}" if self.node else "")
        return failure(title, event.description, event.hint)

    def _sample(self, event: Event) -> None:
        self.progress = event.progress
        self.from_seeder = event.from_seeder or 0
        self.from_peers = event.from_peers or 0
        total = self.from_seeder + self.from_peers
        if event.usage is not None:
            self.limit = limit(event.usage.seconds, node_demands(event.usage, total))
        self._samples.append((event.time, total, event.progress or 0.0))
        while event.time - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()

    def _sources(self) -> str:
        total = self.from_seeder + self.from_peers
        return f"  peers {self.from_peers / total:.0%}" if total else ""

    def _rate(self) -> str:
        """Rate and time left, over the last seconds only: a swarm changes its pace."""
        (then, some, done_then), (now, more, done_now) = self._samples[0], self._samples[-1]
        if done_now >= 1.0:
            return "all here, writing"
        if now <= then or more <= some or done_now <= done_then:
            return "waiting"
        rate = (more - some) / (now - then)
        left = (1.0 - done_now) / (done_now - done_then) * (now - then)
        return f"{human(int(rate))}/s, {left // 60:.0f}:{left % 60:02.0f} left"


def heading(node: str, image: str, deployment: str) -> list[str]:
    rule = "=" * (WIDTH - 1)
    return [rule, f"  node {node}   image {image}   deployment {deployment}"[: WIDTH - 1], rule]


def numbered(steps: Sequence[str]) -> list[str]:
    """A plan as a list that a person can point at."""
    return [
        f"{f'{number}.' if not rest else '':>5} {part}"
        for number, step in enumerate(steps, start=1)
        for rest, part in enumerate(wrap(step, WIDTH - 7))
    ]


def failure(title: str, message: str, hint: str) -> list[str]:
    """Big enough to be seen from the next rack: what failed, why, and what to do."""
    rule = "!" * (WIDTH - 1)
    told = [*message.splitlines(), *([f"what to do: {hint}"] if hint else [])]
    body = [part for line in told for part in wrap(line, WIDTH - 5) or [""]]
    return ["", rule, f"!!! FAILED: {title}", *(f"!!! {line}" for line in body), rule]


def _lines(text: str, hint: str = "") -> list[str]:
    whole = with_hint(text, hint).splitlines() or [""]
    first, *rest = [part for line in whole for part in wrap(line, WIDTH - 13) or [""]]
    return [f"{PREFIX}{first}", *(" " * len(PREFIX) + line for line in rest)]
