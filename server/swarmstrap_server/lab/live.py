# SPDX-License-Identifier: GPL-2.0-or-later
"""A rehearsal while it runs: a table that changes in place, or a line for every change."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from swarmstrap.units import human
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.lab.progress import Progress

_BAR_CELLS = 20
_STYLES = {"deployed": "bold green", "failed": "bold red", "starting": "cyan"}


class Screen:
    """A context manager; `show` is what a rehearsal calls about once a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._began = time.monotonic()
        self._said: dict[str, str] = {}

    def __enter__(self) -> "Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, nodes: Sequence[Progress]) -> None:
        seconds = time.monotonic() - self._began
        if self._live:
            self._live.update(table(nodes, seconds), refresh=True)
            return
        for progress in nodes:
            now = doing(progress)
            if self._said.get(progress.node.name) != now:
                self._said[progress.node.name] = now
                text = f"{seconds:6.0f} s  {progress.node.name:14} {now}"
                self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def table(nodes: Sequence[Progress], seconds: float) -> Table:
    shown = Table(pad_edge=False, box=None, header_style="bold", title_justify="left")
    shown.title = f"rehearsal, {seconds:.0f} s"
    for heading in ("node", "firmware", "disk", "doing", "progress", "seeder", "peers"):
        shown.add_column(heading, no_wrap=True)
    for progress in nodes:
        done = progress.deployment
        shown.add_row(
            progress.node.name,
            progress.node.firmware,
            progress.node.bus,
            doing(progress),
            _bar(progress),
            human(done.from_seeder) if done else "",
            human(done.from_peers) if done else "",
            style=_STYLES.get(progress.stage, ""),
        )
    return shown


def doing(progress: Progress) -> str:
    """In words: what the node is at, by what the server and the lab know of it."""
    match progress.stage:
        case "waiting":
            return "not yet powered on"
        case "installing":
            return _installing(progress.deployment)
        case "starting":
            return "starting from its own disk"
        case "deployed":
            return "deployed, started from its own disk"
        case "failed":
            return f"failed: {progress.reason}"


def _installing(done: Deployment | None) -> str:
    if done is None or done.state == "armed":
        return "booting over the network"
    if done.state == "deployed":
        return "installed, restarting"
    return f"failed: {done.reason}" if done.state == "failed" else f"installing: {done.phase}"


def _bar(progress: Progress) -> RenderableType:
    done = progress.deployment
    if progress.stage != "installing" or done is None or done.progress is None:
        return ""
    return ProgressBar(total=1.0, completed=done.progress, width=_BAR_CELLS)
