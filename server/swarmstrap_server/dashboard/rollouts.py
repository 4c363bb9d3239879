# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of rollouts: how far one has come, and whom it could not serve. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.dashboard.timeline import Batch, Share, Timeline, batches, shares, timeline
from swarmstrap_server.rollouts.values import Member, MemberState, Rollout

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

    rollout: Rollout
    seconds: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Rollouts, and below them what was armed without one; both the latest first."""

    rollouts: tuple[Row, ...]
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """`failed` are the members that did not get the image; `timeline` is of those that began."""

    row: Row
    failed: tuple[Member, ...]
    timeline: Timeline | None


def history(rollouts: Sequence[Rollout], deployments: Iterable[Deployment], now: float) -> History:
    """What `rollouts` have armed is not shown again among the batches."""
    theirs = {member.deployment for rollout in rollouts for member in rollout.members}
    others = (deployment for deployment in deployments if deployment.id not in theirs)
    return History(tuple(row(rollout, now) for rollout in rollouts), batches(others, now))


def row(rollout: Rollout, now: float) -> Row:
    return Row(
        rollout,
        (rollout.ended or now) - rollout.created,
        shares((member.state for member in rollout.members), STATES),
    )


def rollout_page(
    rollout: Rollout, deployments: Sequence[Deployment], now: float, *, whole: bool
) -> RolloutPage:
    """`deployments` are those of its members that were armed."""
    return RolloutPage(
        row=row(rollout, now),
        failed=rollout.failed,
        timeline=timeline(deployments, now, whole=whole) if deployments else None,
    )
