# SPDX-License-Identifier: GPL-2.0-or-later
"""The history: what was ordered together, what became of it, and where the time went. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TypeVar

from swarmstrap_server.control.nodes import PHASES, Deployment, DeploymentState
from swarmstrap_server.dashboard.cells import Kind, kind_of_phase
from swarmstrap_server.dashboard.charts import Bar, bars, took

S = TypeVar("S", bound=str)

# In the order of a batch's bar: what went well at the left, what did not at the right.
STATES: tuple[DeploymentState, ...] = (
    "deployed",
    "planned",
    "active",
    "armed",
    "disarmed",
    "expired",
    "failed",
)
_MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Share:
    """Of several nodes those in one state; `x` and `width` are 0..100."""

    state: str
    number: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Batch:
    """What one order armed. `key` is the id of one of its deployments. `seconds` are from the
    order to the end of the last node, or until now while `running`.
    """

    key: str
    title: str
    mode: str
    by: str
    ordered: float
    nodes: int
    running: bool
    seconds: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One node of a batch; `scale` of its bars is that of all rows."""

    node: str
    state: DeploymentState
    seconds: float
    said: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """Seconds of all nodes of a batch that went through it; `width` is 0..100 of the longest."""

    name: str
    kind: Kind
    nodes: int
    middle: float
    longest: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """`hidden` rows are left out: those of nodes that went well and were quicker than these."""

    batch: Batch
    phases: tuple[Phase, ...]
    rows: tuple[Row, ...]
    hidden: int


def batches(deployments: Iterable[Deployment], now: float) -> tuple[Batch, ...]:
    """The latest first. What one order arms has one time of arming."""
    ordered = sorted(deployments, key=_order, reverse=True)
    return tuple(_batch(list(same), now) for _, same in groupby(ordered, _order))


def timeline(same: Sequence[Deployment], now: float, *, whole: bool) -> Timeline:
    """Of what was deployed together, one at least; `whole` is to leave out nobody."""
    longest = max((took(d, now) for d in same), default=0.0)
    worst = sorted(same, key=lambda d: (d.state != "failed", -took(d, now), d.node))
    shown = worst if whole else worst[:_MOST_ROWS]
    return Timeline(
        batch=_batch(same, now),
        phases=_phases(same),
        rows=tuple(
            Row(d.node, d.state, took(d, now), d.reason, bars(d, longest, now)) for d in shown
        ),
        hidden=len(worst) - len(shown),
    )


def _order(deployment: Deployment) -> tuple[float, str, str]:
    return deployment.armed_at, deployment.title, deployment.mode


def _batch(same: Sequence[Deployment], now: float) -> Batch:
    running = any(d.state in ("armed", "active") for d in same)
    end = now if running else max(d.ended or d.armed_at for d in same)
    return Batch(
        key=min(d.id for d in same),
        title=same[0].title,
        mode=same[0].mode,
        by=same[0].by,
        ordered=same[0].armed_at,
        nodes=len(same),
        running=running,
        seconds=end - same[0].armed_at,
        shares=shares(Counter(d.state for d in same), STATES),
    )


def shares(numbers: Mapping[S, int], order: Sequence[S]) -> tuple[Share, ...]:
    """One for each word of `order` that is among those that `numbers` has."""
    total = sum(numbers.values())
    found, x = [], 0.0
    for state in order:
        if number := numbers.get(state, 0):
            width = 100 * number / total
            found.append(Share(state, number, round(x, 3), round(width, 3)))
            x += width
    return tuple(found)


def _phases(same: Sequence[Deployment]) -> tuple[Phase, ...]:
    spent = {
        phase: [d.phases[phase] for d in same if d.phases.get(phase, 0.0) > 0] for phase in PHASES
    }
    longest = max((max(seconds) for seconds in spent.values() if seconds), default=0.0)
    return tuple(
        Phase(
            name=phase,
            kind=kind_of_phase(phase),
            nodes=len(seconds),
            middle=median(seconds),
            longest=max(seconds),
            width=round(100 * median(seconds) / longest, 3),
        )
        for phase, seconds in spent.items()
        if seconds
    )
