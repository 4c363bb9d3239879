# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that orders a deployment: says what goes before it can be confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.wire import Finish, Mode, Verify
from swarmstrap_server.app import Services
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.dashboard.wiping import Wiping, wipings
from swarmstrap_server.images.names import split
from swarmstrap_server.rollouts.values import Order, Pace, checked
from swarmstrap_server.site import ranges

_MOST_NAMES = 200
_USUAL = Order(arm=Arm(nodes=(), image=""))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The form as it was filled in, with what `swarmstrap deploy` has for a rollout. `nodes` are
    words as after `--to`, `preserve` has paths; `look` is set by the button that asks what would
    happen.
    """

    nodes: str = ""
    image: str = ""
    mode: Mode = "deploy"
    layout: str = ""
    power: Literal["on", "off"] = "on"
    actions: int = _USUAL.pace.actions
    seconds: float = _USUAL.pace.seconds
    at_once: int = _USUAL.pace.deploying
    power_seconds: float = _USUAL.pace.power_seconds
    boot_seconds: float = _USUAL.pace.boot_seconds
    retries: int = _USUAL.retries
    minutes: int | None = None
    verify: Verify | None = None
    finish: Finish | None = None
    preserve: str = ""
    allow_older: bool = False
    look: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be confirmed, by typing `word`; `body` is the order to the API then. The server
    switches `switched` of the nodes itself, at `pace`; `by_hand` names the others, as `n[001-016]`,
    whom somebody has to start within `minutes`.
    """

    label: str
    mode: Mode
    count: int
    word: str
    names: str
    switched: int
    by_hand: str
    pace: Pace
    minutes: int
    wipings: tuple[Wiping, ...]
    body: object


def ordering(services: Services, wanted: Wanted, by: str) -> dict[str, object]:
    """The values of deploy.html, for whom `by` names."""
    site = services.deployments.site
    labels = [image.label for image in reversed(services.images.ls())]
    asked: Asked | None = None
    problem: SwarmstrapError | None = None
    try:
        asked = _asked(services, wanted, by) if wanted.look else None
    except SwarmstrapError as error:
        problem = error
    return {
        "order": wanted,
        "labels": labels,
        "layouts": sorted(site.layouts),
        "verifications": get_args(Verify),
        "finishes": get_args(Finish),
        "asked": asked,
        "problem": problem,
    }


def _asked(services: Services, wanted: Wanted, by: str) -> Asked:
    plan = services.rollouts.plan(_order(wanted), by)
    order, nodes = plan.order, plan.order.arm.nodes
    by_hand = [member.node for member in plan.members if not member.switched]
    minutes = order.arm.minutes
    if minutes is None:
        minutes = services.deployments.site.settings.defaults.arm_minutes
    image = services.images.get(order.arm.image, order.arm.version)
    return Asked(
        label=image.label,
        mode=wanted.mode,
        count=len(nodes),
        word=nodes[0] if len(nodes) == 1 else str(len(nodes)),
        names=_listed(nodes),
        switched=len(nodes) - len(by_hand),
        by_hand=ranges.fold(by_hand),
        pace=order.pace,
        minutes=minutes,
        wipings=wipings(services.deployments, image, order.arm),
        body=msgspec.to_builtins(order),
    )


def _order(wanted: Wanted) -> Order:
    """Raises BadInput for what no order can have."""
    if not wanted.nodes.strip():
        raise BadInput("no node is named", hint="write names, groups or ranges, as n[001-016]")
    name, version = split(wanted.image)
    arm = Arm(
        nodes=tuple(wanted.nodes.split()),
        image=name,
        version=version or "",
        layout=wanted.layout,
        finish=wanted.finish,
        minutes=wanted.minutes,
        mode=wanted.mode,
        preserve=tuple(wanted.preserve.split()),
        allow_older=wanted.allow_older,
        verify=wanted.verify,
    )
    pace = Pace(
        actions=wanted.actions,
        seconds=wanted.seconds,
        deploying=wanted.at_once,
        power_seconds=wanted.power_seconds,
        boot_seconds=wanted.boot_seconds,
    )
    return checked(Order(arm=arm, power=wanted.power == "on", pace=pace, retries=wanted.retries))


def _listed(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _MOST_NAMES} more" if len(nodes) > _MOST_NAMES else ""
    return " ".join(nodes[:_MOST_NAMES]) + more
