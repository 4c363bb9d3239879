# SPDX-License-Identifier: GPL-2.0-or-later
"""Every console of the machine at once: a screen with a living line, and a serial log without."""

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.display import WIDTH, Display, heading
from swarmstrap.wire import Event

log = logging.getLogger(__name__)

ACTIVE = Path("/sys/class/tty/console/active")
_SCREEN = re.compile(r"tty\d+")
_SCREEN_SECONDS = 0.5
# A serial line is a log: rarely enough to read, often enough to see that it lives.
_SERIAL_SECONDS = 10.0
_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Terminal:
    """One tty, open for writing; `screen` says that a line may be drawn over."""

    name: str
    fd: int
    screen: bool

    def lines(self, lines: Sequence[str]) -> None:
        before = f"\r{' ' * (WIDTH - 1)}\r" if self.screen else ""
        text = "".join(f"{self._colour(line)}\n" for line in lines)
        self._write(before + text)

    def status(self, text: str) -> None:
        self._write(f"\r{text:<{WIDTH - 1}}" if self.screen else f"{text}\n")

    def _colour(self, line: str) -> str:
        return f"{_RED}{line}{_PLAIN}" if self.screen and line.startswith("!!!") else line

    def _write(self, text: str) -> None:
        """What a terminal does not take at once is lost: a stuck serial line holds nobody up."""
        with contextlib.suppress(OSError):
            os.write(self.fd, text.encode("ascii", "replace"))


def active() -> list[str]:
    """The kernel's consoles, as `tty0` or `ttyS0`, the preferred one last."""
    with contextlib.suppress(OSError):
        return ACTIVE.read_text().split() or ["console"]
    return ["console"]


def terminals(names: Sequence[str], folder: Path = Path("/dev")) -> list[Terminal]:
    """Those of `names` that can be opened; a console without hardware is no error."""
    found = []
    for name in names:
        try:
            fd = os.open(folder / name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            log.warning("console %s: %s", name, error)
            continue
        found.append(Terminal(name, fd, screen=_SCREEN.fullmatch(name) is not None))
    return found


class Console:
    """Listens to events; `live` keeps the status lines going until it is cancelled."""

    def __init__(self, terminals: Sequence[Terminal]) -> None:
        self._terminals = terminals
        self._display = Display()
        self._silent = False

    def hear(self, event: Event) -> None:
        self.lines(self._display.hear(event))

    def call(self, node: str) -> None:
        """From now on it is known whose console this is."""
        self._display.node = node

    def introduce(self, image: str, deployment: str) -> None:
        """What is trusted and goes onto this node."""
        self.lines(heading(self._display.node, image, deployment))

    def lines(self, lines: Sequence[str]) -> None:
        for terminal in self._terminals:
            if lines:
                terminal.lines(lines)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """No living line while the terminals belong to a person."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    async def live(self) -> None:
        serial_at = time.monotonic() + _SERIAL_SECONDS
        while True:
            await asyncio.sleep(_SCREEN_SECONDS)
            text = "" if self._silent else self._display.status(time.time())
            serial = time.monotonic() > serial_at
            if serial:
                serial_at = time.monotonic() + _SERIAL_SECONDS
            for terminal in self._terminals:
                if text and (terminal.screen or serial):
                    terminal.status(text)
