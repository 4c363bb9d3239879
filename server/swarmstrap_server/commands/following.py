# SPDX-License-Identifier: GPL-2.0-or-later
"""A rollout on a terminal: how far it is, and at its end who failed and why."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from swarmstrap.errors import with_hint
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.client import Operator
from swarmstrap_server.rollouts.values import MemberState, Rollout

_POLL_SECONDS = 1.0
# Nodes come to their end minutes apart, or all at a time.
_RATE_SECONDS = 900.0
_STATES: tuple[MemberState, ...] = (
    "waiting",
    "powering",
    "booting",
    "deploying",
    "deployed",
    "failed",
    "cancelled",
)


def wait(server: Operator, key: str, console: Console, *, quiet: bool = False) -> Rollout:
    """Until the rollout ends, which it does: each of its phases has a deadline.

    On a terminal a bar of the nodes that have ended, otherwise a line for each change; who failed
    as soon as that is known, and the result at the end, unless it is to be `quiet`.
    """
    if quiet:
        return _followed(server, key)
    lines = _Lines(console)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task("", total=None)
            rollout = _followed(server, key, lines.tell_failures, partial(_draw, bar, task))
    else:
        rollout = _followed(server, key, lines.tell_failures, lines.tell)
    console.print(result(rollout))
    return rollout


def _followed(server: Operator, key: str, *tellers: Callable[[Rollout], None]) -> Rollout:
    while True:
        rollout = server.rollout(key)
        for tell in tellers:
            tell(rollout)
        if rollout.ended is not None:
            return rollout
        time.sleep(_POLL_SECONDS)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = ""
        self._failed: set[str] = set()

    def tell(self, rollout: Rollout) -> None:
        text = progress(rollout.summary.states)
        if text != self._told:
            self._console.print(text, highlight=False)
        self._told = text

    def tell_failures(self, rollout: Rollout) -> None:
        for member in rollout.members:
            if member.state == "failed" and member.node not in self._failed:
                self._failed.add(member.node)
                said = f"{member.node} failed: {member.reason}"
                self._console.print(said, highlight=False, markup=False, soft_wrap=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{60 * speed:.1f} nodes/min" if speed else "")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=_RATE_SECONDS,
    )


def _draw(bar: Progress, task: TaskID, rollout: Rollout) -> None:
    ended = sum(member.ended for member in rollout.members)
    said = progress(rollout.summary.states)
    bar.update(task, description=said, completed=ended, total=len(rollout.members), refresh=True)


def progress(states: Mapping[MemberState, int]) -> str:
    """`12 deploying, 3 booting`, in the order in which a node goes through them."""
    return ", ".join(f"{states[state]} {state}" for state in _STATES if state in states)


def result(rollout: Rollout) -> RenderableType:
    """How many, in what time; a row for each node that failed."""
    return Group(Text(headline(rollout), style="bold"), *_failures(rollout))


def headline(rollout: Rollout) -> str:
    good = sum(member.state == "deployed" for member in rollout.members)
    total = len(rollout.members)
    if rollout.ended is None:
        return f"{rollout.title}: {progress(rollout.summary.states)}"
    spent = duration(rollout.ended - rollout.created)
    return f"{rollout.title}: {'all' if good == total else f'{good} of {total}'} done in {spent}"


def _failures(rollout: Rollout) -> Iterator[RenderableType]:
    rows = [m for m in rollout.members if m.reason and m.state != "deployed"]
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("node", "state", "tries", "why"):
        table.add_column(title, no_wrap=title != "why", justify="left")
    for member in rows:
        why = with_hint(member.reason, member.hint)
        table.add_row(member.node, member.state, str(member.tries), Text(why))
    yield table


def exit_of(rollout: Rollout) -> Exit:
    if not rollout.failed:
        return Exit.DONE
    return Exit.PARTLY if len(rollout.failed) < len(rollout.members) else Exit.FAILED


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
    )
