# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened to a node and what to do, in a few lines, from all that is known of it. Pure."""

from collections.abc import Iterator, Sequence
from operator import itemgetter

import msgspec

from swarmstrap.errors import with_hint
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import NodeView, Record
from swarmstrap_server.rollouts.values import Member, Reservation, Rollout
from swarmstrap_server.times import clock_time

# More is `swarmstrap node show`.
_MOST_EVENTS = 4


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`happened` is in order of time, each line with its time before it."""

    node: str
    state: str
    happened: tuple[str, ...]
    to_do: str


def why(
    view: NodeView,
    rollout: Rollout | None,
    lent: Reservation | None,
    events: Sequence[Record],
    now: float,
) -> Why:
    """`rollout` is the last one that has the node, `lent` the reservation that holds it now,
    `events` are its last ones, oldest first.
    """
    member = _member(rollout, view.name)
    reason = view.deployment.reason if view.deployment else ""
    told = [r for r in events if not reason or reason not in r.event.description]
    lines = [
        *_of_reservation(lent),
        *_of_rollout(rollout, member),
        *_of_events(told),
        *_of_deployment(view),
    ]
    lines.sort(key=itemgetter(0))
    return Why(
        node=view.name,
        state=_state(view, member, now),
        happened=tuple(f"{clock_time(at)}  {text}" for at, text in lines),
        to_do=_to_do(view, member),
    )


def _state(view: NodeView, member: Member | None, now: float) -> str:
    deployment = view.deployment
    if view.state == "deploying" and deployment is not None:
        heard = round(now - (deployment.heard or now))
        return f"deploying {deployment.title}, phase {deployment.phase}, last heard {heard} s ago"
    if member is not None and not member.ended:
        return f"{view.state}, {member.state} since {clock_time(member.since)}"
    return view.state


def _of_deployment(view: NodeView) -> Iterator[tuple[float, str]]:
    deployment = view.deployment
    if deployment is None:
        if view.seen is not None:
            yield view.seen, "registered"
        return
    by = "" if deployment.rollout else _by(deployment.by)
    yield deployment.armed_at, f"armed for {deployment.title}{by}"
    if deployment.started is not None:
        times = f", its boot number {deployment.begun}" if deployment.begun > 1 else ""
        yield deployment.started, f"took its job{times}"
    if deployment.ended is not None:
        yield deployment.ended, _end(deployment)


def _end(deployment: Deployment) -> str:
    began = deployment.state == "failed" and deployment.phase
    where = f" in phase {deployment.phase}" if began else ""
    reason = f": {deployment.reason}" if deployment.reason else ""
    return f"{deployment.state}{where}{reason}"


def _by(name: str) -> str:
    return f", by {name}" if name else ""


def _of_reservation(lent: Reservation | None) -> Iterator[tuple[float, str]]:
    if lent is not None:
        yield lent.begins, f"reserved by {lent.by} until {clock_time(lent.until)}"


def _of_rollout(rollout: Rollout | None, member: Member | None) -> Iterator[tuple[float, str]]:
    if rollout is None or member is None:
        return
    yield rollout.created, f"rollout {rollout.id}: {rollout.title}{_by(rollout.by)}"
    if member.tries > 1:
        yield member.since, f"{member.state}, try number {member.tries}"


def _of_events(events: Sequence[Record]) -> Iterator[tuple[float, str]]:
    """What went wrong, and what the server did about the node's power."""
    telling = [
        record
        for record in events
        if record.event.result in ("fail", "warning") or record.event.name == "server/power"
    ]
    for record in telling[-_MOST_EVENTS:]:
        event = record.event
        first, *_ = with_hint(event.description, event.hint).splitlines() or [event.name]
        yield record.received, first


def _to_do(view: NodeView, member: Member | None) -> str:
    deployment = view.deployment
    match view.state:
        case "failed" if deployment:
            return deployment.hint or f"see swarmstrap node show {view.name}, then deploy again"
        case "deploying":
            return "wait; its console shows what it does"
        case "armed" if member is not None and member.switched:
            return f"wait; swarmstrap power status {view.name} asks its BMC"
        case "armed":
            return "start it, from the network"
        case "discovered":
            return f"name it: swarmstrap node name {view.name} NAME, or by a rule in discovery.yaml"
        case "ready" if member is not None and member.hint:
            return member.hint
        case "ready":
            return f"nothing; swarmstrap deploy IMAGE --to {view.name} puts an image on it"
        case _:
            return "nothing"


def _member(rollout: Rollout | None, node: str) -> Member | None:
    members = rollout.members if rollout else ()
    return next((member for member in members if member.node == node), None)
