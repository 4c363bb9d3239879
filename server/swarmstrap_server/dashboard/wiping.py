# SPDX-License-Identifier: GPL-2.0-or-later
"""What a deployment would wipe, said before anybody orders it: the node's own plan, made here."""

from dataclasses import dataclass

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Inventory
from swarmstrap.plan import make_plan
from swarmstrap.steps.storage import WipeDisk
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import Image

# Plans are made while the server waits; more than these nobody reads.
MOST_PLANNED = 32


@dataclass(frozen=True, slots=True)
class Wiping:
    """What the node's plan wipes, one line a disk; `problem` instead where it has no plan."""

    node: str
    lines: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


def wipings(deployments: Deployments, image: Image, order: Arm) -> tuple[Wiping, ...]:
    """For the first MOST_PLANNED nodes of `order`."""
    return tuple(_wiping(deployments, image, order, node) for node in order.nodes[:MOST_PLANNED])


def _wiping(deployments: Deployments, image: Image, order: Arm, node: str) -> Wiping:
    inventory = deployments.store.inventory(node)
    if inventory is None:
        return Wiping(node, problem="its hardware is not known yet; it decides when it boots")
    try:
        return _planned(deployments, image, order, node, inventory)
    except SwarmstrapError as error:
        return Wiping(node, problem=error.message, hint=error.hint)


def _planned(
    deployments: Deployments, image: Image, order: Arm, node: str, inventory: Inventory
) -> Wiping:
    site, now = deployments.site, deployments.clock()
    installed = deployments.store.installed(node)
    deployment = new_deployment(site, image.manifest, order, node, now, installed)
    job = make_job(site, image.directory, deployment, session="")
    plan = make_plan(inventory, job, image.manifest)
    wiped = tuple(str(step) for step in plan.steps if isinstance(step, WipeDisk))
    return Wiping(node, wiped or ("no disk; files change on the filesystems that are there",))
