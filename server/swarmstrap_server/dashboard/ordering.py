# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that orders a deployment: says what goes before it can be confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.wire import Mode
from swarmstrap_server.app import Services
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.dashboard.wiping import Wiping, wipings
from swarmstrap_server.images.names import split
from swarmstrap_server.rollouts.values import Order

_MOST_NAMES = 200


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The form as it was filled in. `nodes` are words as after `--to`; `look` is set by the button
    that asks what would happen.
    """

    nodes: str = ""
    image: str = ""
    mode: Mode = "deploy"
    layout: str = ""
    power: Literal["on", "off"] = "on"
    look: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be confirmed, by typing `word`; `body` is the order to the API then. The server
    switches `switched` of the nodes itself.
    """

    label: str
    mode: Mode
    count: int
    word: str
    names: str
    switched: int
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
        "asked": asked,
        "problem": problem,
    }


def _asked(services: Services, wanted: Wanted, by: str) -> Asked:
    if not wanted.nodes.strip():
        raise BadInput("no node is named", hint="write names, groups or ranges, as n[001-016]")
    name, version = split(wanted.image)
    arm = Arm(
        nodes=tuple(wanted.nodes.split()),
        image=name,
        version=version or "",
        layout=wanted.layout,
        mode=wanted.mode,
    )
    plan = services.rollouts.plan(Order(arm=arm, power=wanted.power == "on"), by)
    order, nodes = plan.order, plan.order.arm.nodes
    image = services.images.get(name, order.arm.version)
    return Asked(
        label=image.label,
        mode=wanted.mode,
        count=len(nodes),
        word=nodes[0] if len(nodes) == 1 else str(len(nodes)),
        names=_listed(nodes),
        switched=sum(member.switched for member in plan.members),
        wipings=wipings(services.deployments, image, order.arm),
        body=msgspec.to_builtins(order),
    )


def _listed(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _MOST_NAMES} more" if len(nodes) > _MOST_NAMES else ""
    return " ".join(nodes[:_MOST_NAMES]) + more
