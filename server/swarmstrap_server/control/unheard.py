# SPDX-License-Identifier: GPL-2.0-or-later
"""Events that a node could not tell: brought by hand from the system that it installed."""

from operator import attrgetter

from msgspec.structs import replace

from swarmstrap.errors import BadInput, Refused
from swarmstrap.wire import Events, Unheard
from swarmstrap_server.control import sessions
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.nodes import ABSENCE_SECONDS, Deployment
from swarmstrap_server.control.operator_wire import Added


def add(deployments: Deployments, node: str, told: Unheard, *, by: str) -> Added:
    """Takes what was not heard before; raises BadInput or Refused, and then takes nothing.

    Where the last word is missing, too, the deployment ends here: the node wrote this to the
    system that it had completed, and must not be installed again for what it said then.
    """
    now = deployments.clock()
    before = _deployment(deployments, node, told)
    _check_idle(deployments, before, now)
    events = tuple(sorted(told.events, key=attrgetter("sequence")))
    after = deployments.feed.take(before, Events(events=events), now)
    if after.state == "active":
        reason = f"its system has kept its events, the last of them from phase {after.phase}"
        after = replace(after, state="deployed", ended=now, reason=reason)
        deployments.store.save_deployment(after)
    new = sum(event.sequence > before.sequence for event in events)
    said = f"{new} events that the server had not heard were brought by {by}"
    deployments.feed.note(node, "brought", said, now)
    return Added(new=new, heard=len(events) - new, deployment=after)


def _deployment(deployments: Deployments, node: str, told: Unheard) -> Deployment:
    found = deployments.store.deployment(told.deployment)
    if found is None:
        raise BadInput(
            f"there is no deployment {told.deployment} here",
            hint="it was another server's, or is older than those that this one keeps",
        )
    if found.node != node:
        raise BadInput(
            f"these are events of {found.node}, not of {node}",
            hint=f"swarmstrap events add {found.node} FILE",
        )
    kept = sessions.session_of(deployments.store, found.id)
    if kept is None or kept.hex() != told.session:
        raise BadInput(
            f"these are events of an earlier boot: {found.title} was begun once more since",
            hint="the file of the last boot is the one to bring",
        )
    return found


def _check_idle(deployments: Deployments, deployment: Deployment, now: float) -> None:
    latest = deployments.store.latest_deployment(deployment.node)
    if latest is None or latest.state != "active":
        return
    if latest.id != deployment.id or now - (latest.heard or now) < ABSENCE_SECONDS:
        raise Refused(
            f"node {deployment.node} is being deployed, phase {latest.phase}",
            hint=f"wait until it ends, or until it has been silent for {ABSENCE_SECONDS:.0f} s",
        )
