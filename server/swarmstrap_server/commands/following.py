# SPDX-License-Identifier: GPL-2.0-or-later
"""A rollout on a terminal: how far it is, and at its end who failed and why."""

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from swarmstrap.errors import with_hint
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.client import Operator
from swarmstrap_server.rollouts.values import MemberState, Rollout

_POLL_SECONDS = 1.0
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

    On a terminal a line that changes in place, otherwise one for each change; unless it is to be
    `quiet`, the result at the end.
    """
    if quiet:
        return _followed(server, key, None, console)
    with console.status("") if console.is_terminal else nullcontext() as status:
        rollout = _followed(server, key, status, console)
    console.print(result(rollout))
    return rollout


def _followed(server: Operator, key: str, status: Status | None, console: Console) -> Rollout:
    shown = ""
    while True:
        rollout = server.rollout(key)
        text = progress(rollout.summary.states)
        if status is not None:
            status.update(text)
        elif text != shown and not console.quiet:
            console.print(text, highlight=False)
        shown = text
        if rollout.ended is not None:
            return rollout
        time.sleep(_POLL_SECONDS)


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
