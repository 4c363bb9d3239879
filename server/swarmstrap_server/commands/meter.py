# SPDX-License-Identifier: GPL-2.0-or-later
"""How far long work is: a bar with rate and remaining time, or a line now and then in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from swarmstrap.units import human

# Between two lines where nobody sees a bar.
_SECONDS = 10.0


class Meter:
    """Told of bytes; a new word for what is done begins a new bar. Writes to stderr, and nothing
    at all when `quiet`.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
        self._bars = Progress(
            *columns,
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            # What is printed meanwhile is for stdout, even where only stderr is a terminal.
            redirect_stdout=sys.stdout.isatty(),
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bars.add_task("looking", total=None)
        self._what = ""
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "Meter":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, what: str, done: int, total: int | None) -> None:
        """`done` bytes of `total`, which is None when nobody knows."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._said = what, now, now
            self._bars.reset(self._task, description=what, total=total)
        self._bars.update(self._task, completed=done, total=total)
        if self._bars.disable and not self._quiet and now - self._said >= _SECONDS:
            self._said = now
            self._console.print(_line(what, done, total, now - self._began), highlight=False)


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / seconds
    line = f"{what}: {human(done)}, {human(int(rate))}/s"
    if total and rate:
        line += f", {min(100 * done // total, 100)} %, {max(0, total - done) / rate:.0f} s to go"
    return line
