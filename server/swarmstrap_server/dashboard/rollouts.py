# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of rollouts: how far one has come, and whom it could not serve. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.dashboard.timeline import Batch, Share, Timeline, batches, shares, timeline
from swarmstrap_server.rollouts.values import (
    Member,
    MemberState,
    Reservation,
    Rollout,
    RolloutSummary,
)
from swarmstrap_server.site import ranges

# In the order of a rollout's bar: what went well at the left, what did not at the right.
STATES: tuple[MemberState, ...] = (
    "deployed",
    "deploying",
    "booting",
    "powering",
    "waiting",
    "cancelled",
    "failed",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A rollout in the list; `seconds` are until its end, or until now."""

    rollout: RolloutSummary
    seconds: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Loan:
    """`nodes` are those that have not been returned, as `n[001-016]`."""

    nodes: str
    reservation: Reservation


@dataclass(frozen=True, slots=True)
class History:
    """What is lent now, rollouts, and what was armed without one; these the latest first."""

    lent: tuple[Loan, ...]
    rollouts: tuple[Row, ...]
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """`failed` are the members that did not get the image; `timeline` is of those that began."""

    rollout: Rollout
    row: Row
    failed: tuple[Member, ...]
    timeline: Timeline | None


def history(
    running: Iterable[Reservation],
    rollouts: Sequence[RolloutSummary],
    deployments: Iterable[Deployment],
    now: float,
) -> History:
    """What a rollout has armed is not shown again among the batches."""
    others = (deployment for deployment in deployments if not deployment.rollout)
    lent = tuple(Loan(ranges.fold(one.left), one) for one in running)
    return History(lent, tuple(row(rollout, now) for rollout in rollouts), batches(others, now))


def row(rollout: RolloutSummary, now: float) -> Row:
    spent = (rollout.ended or now) - rollout.created
    return Row(rollout, spent, shares(rollout.states, STATES))


def rollout_page(
    rollout: Rollout, deployments: Sequence[Deployment], now: float, *, whole: bool
) -> RolloutPage:
    """`deployments` are those of its members that were armed."""
    return RolloutPage(
        rollout=rollout,
        row=row(rollout.summary, now),
        failed=rollout.failed,
        timeline=timeline(deployments, now, whole=whole) if deployments else None,
    )
