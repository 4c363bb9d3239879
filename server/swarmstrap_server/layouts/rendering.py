# SPDX-License-Identifier: GPL-2.0-or-later
"""What a layout becomes on one machine: steps and files, as a deployment would have them."""

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Inventory
from swarmstrap.hints import Match
from swarmstrap.layout import Layout, kind
from swarmstrap.placing import Identity, place_disks
from swarmstrap.plan_storage import storage_steps
from swarmstrap.render import fstab
from swarmstrap.stacking import stack

Shape = Literal["plan", "fstab", "json"]


def rendered(
    layout: Layout,
    inventory: Inventory,
    shape: Shape,
    *,
    node: str = "",
    skip: Sequence[Match] = (),
) -> str:
    """Text with a line end. UUIDs are those of a deployment without a name.

    Raises Unplannable where the machine does not fit, BadInput for a layout of whole disks.
    """
    if kind(layout) == "disk":
        raise BadInput(
            "what becomes of a whole disk is decided by the image",
            hint="see swarmstrap plan, which knows it",
        )
    identity = Identity("", node)
    placed = stack(layout, place_disks(layout, inventory.disks, identity, skip), identity)
    match shape:
        case "plan":
            return "".join(f"{step}\n" for step in storage_steps(inventory, placed))
        case "fstab":
            return fstab(placed.volumes)
        case "json":
            named = [(type(step).__name__, step) for step in storage_steps(inventory, placed)]
            return msgspec.json.format(msgspec.json.encode(named)).decode() + "\n"
        case _:
            assert_never(shape)
