# SPDX-License-Identifier: GPL-2.0-or-later
"""What a deployment would do to a node: the node's own plan, where it is armed or at work."""

from dataclasses import dataclass

import msgspec

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.plan import choices, make_plan
from swarmstrap.wire import Job
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm, NodePlan, PlanWish
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.site.reading import Site


@dataclass(frozen=True, slots=True)
class Subject:
    """What the database knows of a node: its hardware, its `latest` deployment, and the one that
    wrote what is `installed`.
    """

    node: str
    inventory: Inventory
    latest: Deployment | None
    installed: Deployment | None

    @property
    def armed(self) -> Deployment | None:
        """The deployment that the node is armed for, or at work on."""
        ours = self.latest is not None and self.latest.state in ("armed", "active")
        return self.latest if ours else None


def subject_of(store: Store, node: str) -> Subject:
    """Raises BadInput for a node that nobody has seen yet."""
    inventory = store.inventory(node)
    if inventory is None:
        raise BadInput(
            f"the hardware of {node} is not known yet", hint="boot it over the network once"
        )
    return Subject(node, inventory, store.latest_deployment(node), store.installed(node))


def plan_node(
    site: Site, images: ImageStore, subject: Subject, wish: PlanWish, now: float
) -> NodePlan:
    """Reads image and site, and no database. Raises BadInput, Refused and Untrusted for what no
    node could be armed for.
    """
    image = _image(images, wish, subject)
    deployment = _deployment(site, image.manifest, subject, wish, now)
    return _planned(subject.inventory, make_job(site, image.directory, deployment, ""), image)


def _planned(inventory: Inventory, job: Job, image: Image) -> NodePlan:
    told = NodePlan()
    try:
        # Even when there is no plan for them, these are the disks.
        told = NodePlan(disks=choices(inventory, job))
        plan = make_plan(inventory, job, image.manifest)
    except Unplannable as error:
        return msgspec.structs.replace(told, refused=error.message, hint=error.hint)
    return msgspec.structs.replace(told, digest=plan.digest, lines=tuple(plan.lines()))


def _deployment(
    site: Site, image: Manifest, subject: Subject, wish: PlanWish, now: float
) -> Deployment:
    armed = subject.armed
    if armed is not None:
        wish = _completed(wish, armed)
    order = Arm(
        nodes=(subject.node,),
        image=image.name,
        layout=wish.layout,
        finish=wish.finish,
        mode=wish.mode or "deploy",
        verify=wish.verify,
    )
    deployment = new_deployment(site, image, order, subject.node, now, subject.installed)
    if armed is None:
        return deployment
    # Identifiers on disk derive from the deployment's: this is then the node's own plan.
    return msgspec.structs.replace(deployment, id=armed.id, preserve=armed.preserve)


def _completed(wish: PlanWish, armed: Deployment) -> PlanWish:
    mode = wish.mode or armed.mode
    # An update has no other layout than what it updates.
    layout = armed.layout if mode == armed.mode == "deploy" else ""
    return msgspec.structs.replace(
        wish,
        mode=mode,
        layout=wish.layout or layout,
        finish=wish.finish or armed.finish,
        verify=wish.verify or armed.verify,
    )


def _image(images: ImageStore, wish: PlanWish, subject: Subject) -> Image:
    if wish.image:
        return images.get(*split(wish.image))
    if subject.latest is None:
        raise BadInput("no image was ever armed for this node", hint="say which, with --image NAME")
    return images.get(subject.latest.image, subject.latest.version)
