# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens next in a rollout. Decides, from value to value, and touches nothing.

A member waits for its turn in the window, is armed and switched on, is awaited until it takes its
job, and then deploys until it says that it is done or says nothing for too long. What may go
better the next time (a BMC that does not answer, a node that does not come or falls silent) is
tried again, what a node itself calls a failure is not.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from swarmstrap_server.control.nodes import SILENCE_SECONDS, Deployment
from swarmstrap_server.rollouts.values import Member, MemberState, Pace, Rollout


@dataclass(frozen=True, slots=True)
class Start:
    """Arm the node unless it is, and switch it, if that is the server's part, to the network."""

    node: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Nobody waits for the node any more: what it is armed with is not to wipe it later. It has
    `failed` unless it is tried again, or was cancelled.
    """

    deployment: str
    failed: bool
    reason: str
    hint: str


Action = Start | TakeBack
Seen = Mapping[str, Deployment]
Change = Callable[[Member], Member]


def advance(rollout: Rollout, seen: Seen, now: float) -> tuple[Rollout, tuple[Action, ...]]:
    """The rollout as it is now, and what is to be done for that, in this order. `seen` has by its
    identifier what became of each deployment, but for members that are deployed.
    """
    if rollout.ended is not None:
        return rollout, ()
    actions: list[Action] = []
    members = []
    for member in rollout.members:
        known = seen.get(member.deployment)
        after = _looked_at(member, known, rollout, now)
        if known is not None and known.state == "armed" and _left_alone(after):
            failed = after.state == "failed"
            actions.append(TakeBack(known.id, failed, after.reason, after.hint))
        members.append(after)
    rollout = replace(rollout, members=tuple(members))
    rollout, starts = _started(rollout, now)
    if all(member.ended for member in rollout.members):
        rollout = replace(rollout, ended=now)
    return rollout, (*actions, *starts)


def armed(rollout: Rollout, deployments: Iterable[Deployment]) -> Rollout:
    """With what the nodes of a start are armed."""
    by_node = {deployment.node: deployment for deployment in deployments}

    def after(member: Member) -> Member:
        found = by_node.get(member.node)
        if found is None:
            return member
        return replace(member, deployment=found.id, until=found.until)

    return replace(rollout, members=tuple(map(after, rollout.members)))


def switched(rollout: Rollout, node: str, now: float) -> Rollout:
    """The node was switched on, and is on its way."""
    return _with(rollout, node, lambda member: _moved(member, "booting", now))


def not_started(
    rollout: Rollout, node: str, now: float, reason: str, hint: str, *, final: bool = False
) -> Rollout:
    """The node could not be armed, which is `final`, or not be switched."""
    tries = 0 if final else rollout.order.retries
    return _with(rollout, node, lambda member: _missed(member, tries, now, reason, hint))


def interrupted(rollout: Rollout, seen: Seen, now: float) -> Rollout:
    """After a restart of the server nobody switches any more: those members begin again, but for
    who has taken its job.
    """

    def after(member: Member) -> Member:
        if member.state != "powering":
            return member
        deployment = seen.get(member.deployment)
        if deployment is not None and deployment.state != "armed":
            return _moved(member, "booting", now)
        return replace(_moved(member, "waiting", now), tries=member.tries - 1)

    return replace(rollout, members=tuple(map(after, rollout.members)))


def cancelled(rollout: Rollout) -> Rollout:
    """Nobody else begins; who is deploying comes to its end, because half a disk serves nobody."""
    return replace(rollout, cancelled=True)


def _looked_at(member: Member, seen: Deployment | None, rollout: Rollout, now: float) -> Member:
    if member.ended:
        return member
    if seen is not None and member.state in ("powering", "booting", "deploying"):
        told = _told(member, seen, rollout.order.retries, now)
        if told is not None:
            return told
    if rollout.cancelled and member.state != "deploying":
        after = _moved(member, "cancelled", now)
        return replace(after, reason="the rollout was cancelled", hint="")
    return _in_time(member, rollout, now)


def _told(member: Member, seen: Deployment, retries: int, now: float) -> Member | None:
    """What the deployment's own end or beginning means; None while it says nothing new."""
    match seen.state:
        case "armed":
            return None
        case "active":
            return member if member.state == "deploying" else _moved(member, "deploying", now)
        case "deployed" | "planned":
            return replace(_moved(member, "deployed", now), reason=seen.reason, hint=seen.hint)
        case "failed":
            tries = retries if _fell_silent(seen) else 0
            return _missed(member, tries, now, seen.reason, seen.hint)
        case "expired":
            # Without a switch, a person was to start it, who may be asleep.
            return _missed(member, retries if member.switched else 0, now, seen.reason, seen.hint)
        case "disarmed":
            return _missed(member, 0, now, f"its arming is gone: {seen.reason}", seen.hint)
        case other:
            assert_never(other)


def _fell_silent(seen: Deployment) -> bool:
    heard = seen.heard or 0.0
    return seen.ended is not None and seen.ended - heard >= SILENCE_SECONDS


def _in_time(member: Member, rollout: Rollout, now: float) -> Member:
    pace, retries = rollout.order.pace, rollout.order.retries
    waited = now - member.since
    if member.state == "powering" and waited >= pace.power_seconds:
        reason = f"it was not switched on within {pace.power_seconds:.0f} s"
        hint = f"ask its BMC: swarmstrap power status {member.node}"
        return _missed(member, retries, now, reason, hint)
    if member.state == "booting" and member.switched and waited >= pace.boot_seconds:
        reason = f"switched on, and not heard of for {pace.boot_seconds:.0f} s"
        hint = "look at its console: does it boot from the network?"
        return _missed(member, retries, now, reason, hint)
    return member


def _missed(member: Member, retries: int, now: float, reason: str, hint: str) -> Member:
    state: MemberState = "waiting" if member.tries <= retries else "failed"
    return replace(_moved(member, state, now), reason=reason, hint=hint)


def _left_alone(member: Member) -> bool:
    """Whether nobody waits for it now; what it is armed with is then to be undone."""
    return member.state in ("waiting", "failed", "cancelled")


def _started(rollout: Rollout, now: float) -> tuple[Rollout, tuple[Start, ...]]:
    """As many of those that wait as the pace allows, in their order."""
    if rollout.cancelled:
        return rollout, ()
    pace = rollout.order.pace
    recent = [at for at in rollout.switchings if now - at < pace.seconds]
    at_work = sum(not m.ended and m.state != "waiting" for m in rollout.members)
    members, starts = [], []
    for member in rollout.members:
        if member.state == "waiting" and _has_room(pace, member, len(recent), at_work):
            state: MemberState = "powering" if member.switched else "booting"
            after = _moved(member, state, now)
            member = replace(after, tries=member.tries + 1, deployment="", until=0.0)
            starts.append(Start(member.node))
            at_work += 1
            if member.switched:
                recent.append(now)
        members.append(member)
    return replace(rollout, members=tuple(members), switchings=tuple(recent)), tuple(starts)


def _has_room(pace: Pace, member: Member, switched: int, at_work: int) -> bool:
    if pace.deploying and at_work >= pace.deploying:
        return False
    return not member.switched or switched < pace.actions


def _moved(member: Member, state: MemberState, now: float) -> Member:
    return replace(member, state=state, since=now)


def _with(rollout: Rollout, node: str, change: Change) -> Rollout:
    """`change` for a member that is being started; whoever was given up meanwhile stays so."""

    def after(member: Member) -> Member:
        concerned = member.node == node and member.state in ("powering", "booting")
        return change(member) if concerned else member

    return replace(rollout, members=tuple(map(after, rollout.members)))
