# SPDX-License-Identifier: GPL-2.0-or-later
"""The fleet's page: all cells, how many there are of each kind, and what wants a person. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from swarmstrap_server.control.operator_wire import NodeView
from swarmstrap_server.dashboard.cells import (
    KINDS,
    LETTERS,
    MEANINGS,
    Cell,
    Kind,
    cell_of,
    silent_for,
)


@dataclass(frozen=True, slots=True)
class Count:
    kind: Kind
    letter: str
    meaning: str
    number: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A node that failed, or is at work and `silent`; `since` is seconds since 1970."""

    node: str
    silent: bool
    said: str
    hint: str
    since: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """`troubles` begin with the latest failure; `groups` are in order."""

    cells: tuple[Cell, ...]
    counts: tuple[Count, ...]
    troubles: tuple[Trouble, ...]
    groups: tuple[str, ...]


def fleet(
    views: Iterable[NodeView], groups_of: Callable[[str], tuple[str, ...]], now: float
) -> Fleet:
    shown = list(views)
    cells = tuple(cell_of(view, groups_of(view.name), now) for view in shown)
    return Fleet(
        cells=cells,
        counts=counts(cells),
        troubles=troubles(shown, now),
        groups=tuple(sorted({group for cell in cells for group in cell.groups})),
    )


def counts(cells: Sequence[Cell]) -> tuple[Count, ...]:
    """One for every kind, so that nothing moves when the first node becomes one."""
    numbers = Counter(cell.kind for cell in cells)
    return tuple(Count(kind, LETTERS[kind], MEANINGS[kind], numbers[kind]) for kind in KINDS)


def troubles(views: Iterable[NodeView], now: float) -> tuple[Trouble, ...]:
    """Failures first, the latest of them on top; then who is silent, the longest first."""
    found = [trouble for view in views if (trouble := _trouble(view, now)) is not None]
    return tuple(sorted(found, key=lambda t: (t.silent, t.since if t.silent else -t.since)))


def _trouble(view: NodeView, now: float) -> Trouble | None:
    deployment = view.deployment
    if deployment is None:
        return None
    if deployment.state == "failed":
        ended = deployment.ended or deployment.armed_at
        return Trouble(view.name, False, deployment.reason, deployment.hint, ended)
    silence = silent_for(view, now)
    if silence is None:
        return None
    said = f"not heard of for {silence:.0f} s, in phase {deployment.phase}"
    hint = "look at its console; others do not wait for it"
    return Trouble(view.name, True, said, hint, now - silence)
