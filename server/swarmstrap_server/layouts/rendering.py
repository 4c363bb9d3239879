# SPDX-License-Identifier: GPL-2.0-or-later
"""What a layout becomes on one machine: steps and files, as a deployment would have them."""

from typing import Literal, assert_never

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout, kind
from swarmstrap.plan_storage import storage_steps
from swarmstrap.render import fstab
from swarmstrap_server.layouts.placement import Machine, placed_on

Shape = Literal["plan", "fstab", "json"]


def rendered(layout: Layout, machine: Machine, shape: Shape) -> str:
    """Text with a line end. UUIDs are those of a deployment without a name.

    Raises Unplannable where the machine does not fit, BadInput for a layout of whole disks.
    """
    if kind(layout) == "disk":
        raise BadInput(
            "what becomes of a whole disk is decided by the image",
            hint="see swarmstrap plan, which knows it",
        )
    placed = placed_on(layout, machine)
    steps = storage_steps(machine.inventory, placed)
    match shape:
        case "plan":
            return "".join(f"{step}\n" for step in steps)
        case "fstab":
            return fstab(placed.volumes)
        case "json":
            named = [(type(step).__name__, step) for step in steps]
            return msgspec.json.format(msgspec.json.encode(named)).decode() + "\n"
        case _:
            assert_never(shape)
