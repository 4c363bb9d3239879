# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that orders a deployment: says what goes before it can be confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from swarmstrap.errors import SwarmstrapError
from swarmstrap.wire import Mode
from swarmstrap_server.app import Services
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.dashboard.wiping import Wiping, wipings
from swarmstrap_server.images.names import split

_MOST_NAMES = 200


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The form as it was filled in. `nodes` are words as after `--to`; `look` is set by the button
    that asks what would happen.
    """

    nodes: str = ""
    image: str = ""
    mode: Mode = "deploy"
    layout: str = ""
    look: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be confirmed, by typing `word`; `body` is the request to the API then."""

    label: str
    mode: Mode
    count: int
    word: str
    names: str
    minutes: int
    wipings: tuple[Wiping, ...]
    body: str


def ordering(services: Services, wanted: Wanted) -> dict[str, object]:
    """The values of deploy.html."""
    site = services.deployments.site
    labels = [image.label for image in reversed(services.images.ls())]
    asked: Asked | None = None
    problem: SwarmstrapError | None = None
    try:
        asked = _asked(services, wanted) if wanted.look else None
    except SwarmstrapError as error:
        problem = error
    return {
        "order": wanted,
        "labels": labels,
        "layouts": sorted(site.layouts),
        "asked": asked,
        "problem": problem,
    }


def _asked(services: Services, wanted: Wanted) -> Asked:
    deployments = services.deployments
    site = deployments.site
    strangers = views.node_names(site, deployments.store)
    nodes = site.targets(wanted.nodes.split(), strangers)
    name, version = split(wanted.image)
    image = services.images.get(name, version)
    order = Arm(
        nodes=nodes,
        image=image.manifest.name,
        version=image.manifest.version,
        layout=wanted.layout,
        mode=wanted.mode,
    )
    return Asked(
        label=image.label,
        mode=wanted.mode,
        count=len(nodes),
        word=nodes[0] if len(nodes) == 1 else str(len(nodes)),
        names=_listed(nodes),
        minutes=site.settings.defaults.arm_minutes,
        wipings=wipings(deployments, image, order),
        body=msgspec.json.encode(order).decode(),
    )


def _listed(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _MOST_NAMES} more" if len(nodes) > _MOST_NAMES else ""
    return " ".join(nodes[:_MOST_NAMES]) + more
