# SPDX-License-Identifier: GPL-2.0-or-later
"""What a copied disk has in common with another disk of the node: a system that looks for a UUID
or a label may find the wrong one.
"""

from collections.abc import Iterable, Mapping

from swarmstrap.effects.hardware import contents, udev
from swarmstrap.steps.storage import CheckClones

# What identifies a disk or a part of it, and the device node that has it.
Marks = Iterable[tuple[str, str]]


def shared_with_others(step: CheckClones) -> list[str]:
    """As `shared`. Blocking: it reads all disks."""
    found = {node: list(contents.marks(folder)) for node, folder in udev.folders().items()}
    return shared(found, udev.find(step.disk))


def shared(disks: Mapping[str, Marks], node: str) -> list[str]:
    """One line for each mark of the disk `node` that another disk has as well."""
    own = dict(disks[node])
    return [
        f"{mark} is on {own[mark]} and on {place}"
        for other, marks in disks.items()
        for mark, place in marks
        if other != node and mark in own
    ]
