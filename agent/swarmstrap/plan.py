# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan: everything that will happen to one node, decided before anything does.

A pure function of inventory, job and manifest: the node, the server and the tests get the same
steps and the same digest.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from swarmstrap.hardware import Inventory
from swarmstrap.layoutcheck import check_fits, check_layout
from swarmstrap.loaders import narrowed
from swarmstrap.manifest import Manifest, check_architecture
from swarmstrap.plan_disk import plan_disk
from swarmstrap.plan_tree import plan_tree
from swarmstrap.plan_update import plan_update
from swarmstrap.selectors import Selection, select
from swarmstrap.steps import Plan, Step
from swarmstrap.wire import Job


def make_plan(inventory: Inventory, job: Job, manifest: Manifest) -> Plan:
    """Raises BadInput for a job that fits no node, Untrusted for an image of another
    architecture, and Unplannable when this node cannot become what the job says.
    """
    check_architecture(manifest, inventory.cpu.architecture)
    check_layout(job.layout)
    check_fits(job.layout, manifest)
    manifest = narrowed(manifest, job.layout, inventory.boot)
    if job.mode == "update":
        steps = tuple(plan_update(inventory, job, manifest))
    elif manifest.disk is None:
        steps = tuple(plan_tree(inventory, job, manifest))
    else:
        steps = tuple(plan_disk(inventory, job, manifest, manifest.disk))
    return Plan(steps, digest(steps))


def choices(inventory: Inventory, job: Job) -> tuple[Selection, ...]:
    """Why each disk of the layout is the one it is; raises Unplannable when there is none."""
    return select(job.layout.disks, inventory.disks, skip=job.skip_block_devices)


def digest(steps: Sequence[Step]) -> str:
    """sha256, as hex, over the steps as canonical JSON: `[[type, {fields}], ...]`, keys sorted."""
    named = [(type(step).__name__, step) for step in steps]
    return hashlib.sha256(msgspec.json.encode(named, order="sorted")).hexdigest()
