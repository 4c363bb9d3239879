# SPDX-License-Identifier: GPL-2.0-or-later
"""Geometry of the charts, in the units of an SVG's viewBox; the templates draw them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.dashboard.cells import Kind, kind_of_phase
from swarmstrap_server.dashboard.rates import KEPT_SECONDS, Sample

# So that a chart never has one point per pixel of a phone.
_MOST_POINTS = 200
_TICK_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` is how the cell of a node in this phase is coloured; `x` and `width` are 0..100."""

    phase: str
    kind: Kind
    x: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Area:
    """Two areas on top of each other as SVG points; `top` is the largest sum, in bytes a second."""

    seeder: str
    peers: str
    top: float


@dataclass(frozen=True, slots=True)
class Tick:
    """`minutes` before now, `x` from the left."""

    x: float
    minutes: int


def bars(deployment: Deployment, longest: float, now: float) -> tuple[Bar, ...]:
    """The phases of one node side by side, where 100 is `longest` seconds. Of a phase that did not
    end, what is left of the time counts.
    """
    spent = [(phase, seconds) for phase, seconds in deployment.phases.items() if seconds > 0]
    if deployment.state in ("active", "failed") and deployment.phase:
        spent.append((deployment.phase, _under_way(deployment, now)))
    drawn, x = [], 0.0
    for phase, seconds in spent:
        width = 100 * seconds / longest if longest else 0.0
        drawn.append(Bar(phase, kind_of_phase(phase), round(x, 3), round(width, 3), seconds))
        x += width
    return tuple(drawn)


def took(deployment: Deployment, now: float) -> float:
    """Seconds since the node took its job, until it ended or until now; 0 before."""
    if deployment.started is None:
        return 0.0
    return max(0.0, (deployment.ended or now) - deployment.started)


def _under_way(deployment: Deployment, now: float) -> float:
    return max(0.0, took(deployment, now) - sum(deployment.phases.values()))


def ticks(*, width: int) -> tuple[Tick, ...]:
    """Of the time that `area` shows, every five minutes from the left edge; now has none."""
    times = range(int(KEPT_SECONDS), 0, -_TICK_SECONDS)
    return tuple(Tick(width * (KEPT_SECONDS - time) / KEPT_SECONDS, time // 60) for time in times)


def area(samples: Sequence[Sample], now: float, *, width: int, height: int) -> Area:
    """The last quarter of an hour, now at the right edge; peers lie on top of the seeder."""
    step = max(1, -(-len(samples) // _MOST_POINTS))
    shown = [sample for sample in samples[::step] if now - sample.time <= KEPT_SECONDS]
    top = max((s.seeder + s.peers for s in shown), default=0.0)

    def point(sample: Sample, rate: float) -> str:
        x = width * (1 - (now - sample.time) / KEPT_SECONDS)
        return f"{x:.1f},{height * (1 - rate / top) if top else height:.1f}"

    low = [point(s, s.seeder) for s in shown]
    high = [point(s, s.seeder + s.peers) for s in shown]
    ground = [point(s, 0.0) for s in shown]
    return Area(
        seeder=" ".join((*low, *reversed(ground))),
        peers=" ".join((*high, *reversed(low))),
        top=top,
    )
