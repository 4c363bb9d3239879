# SPDX-License-Identifier: GPL-2.0-or-later
"""A node as one cell of the fleet: its kind, its letter and a few words. Pure.

A kind has a colour, a shape and a letter of its own (static/dashboard.css), so that it is told
without any of the three.
"""

from typing import Literal, get_args

import msgspec

from swarmstrap_server.control.nodes import ABSENCE_SECONDS, STORY
from swarmstrap_server.control.operator_wire import NodeView

# In the order in which an operator wants to hear of them.
Kind = Literal[
    "failed",
    "armed",
    "looking",
    "disks",
    "image",
    "finishing",
    "seeding",
    "deployed",
    "planned",
    "ready",
    "discovered",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# An image shows the tenths it has instead.
LETTERS: dict[Kind, str] = {
    "failed": "!",
    "armed": "A",
    "looking": "L",
    "disks": "D",
    "image": "0",
    "finishing": "F",
    "seeding": "S",
    "deployed": "✓",
    "planned": "P",
    "ready": "·",
    "discovered": "?",
}
MEANINGS: dict[Kind, str] = {
    "failed": "the last deployment did not end well, or did not begin",
    "armed": "will be deployed when it next boots from the network",
    "looking": "looks at its hardware, asks for its job, decides and says its plan",
    "disks": "wipes and partitions disks, makes filesystems",
    "image": "fetches and writes the image; the digit says how many tenths it has",
    "finishing": "is configured and made bootable, runs hooks",
    "seeding": "has the image and serves it to others, or starts the new system",
    "deployed": "runs the image",
    "planned": "a dry run said what would be done",
    "ready": "known to the site, nothing under way",
    "discovered": "has registered, and is not in the site",
}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """`tenths` is what the node has of its image, 0..10, and 0 in every other phase. `silent` is
    for a node at work that has not been heard of lately. `groups` are words to filter by.
    """

    name: str
    kind: Kind
    letter: str
    tenths: int
    silent: bool
    said: str
    groups: tuple[str, ...] = ()


def cell_of(view: NodeView, groups: tuple[str, ...], now: float) -> Cell:
    """`now` is by the server's clock, in seconds since 1970."""
    kind = kind_of(view)
    done = view.deployment.progress if view.deployment else None
    tenths = int((done or 0.0) * 10) if kind == "image" else 0
    return Cell(
        name=view.name,
        kind=kind,
        letter=str(min(tenths, 9)) if kind == "image" else LETTERS[kind],
        tenths=tenths,
        silent=silent_for(view, now) is not None,
        said=_said(view, kind, now),
        groups=groups,
    )


def kind_of(view: NodeView) -> Kind:
    if view.state != "deploying":
        return view.state
    return kind_of_phase(view.deployment.phase if view.deployment else "")


def kind_of_phase(phase: str) -> Kind:
    if phase in STORY or not phase:
        return "looking"
    match phase:
        case "disks" | "image":
            return "disks" if phase == "disks" else "image"
        case "seed" | "finish":
            return "seeding"
        case _:
            return "finishing"


def silent_for(view: NodeView, now: float) -> float | None:
    """Seconds since a node at work was heard of; None while that is nothing to speak of."""
    deployment = view.deployment
    if view.state != "deploying" or deployment is None or deployment.heard is None:
        return None
    silence = now - deployment.heard
    return silence if silence >= ABSENCE_SECONDS else None


def _said(view: NodeView, kind: Kind, now: float) -> str:
    deployment = view.deployment
    if deployment is None:
        return kind
    silence = silent_for(view, now)
    tail = f", silent for {silence:.0f} s" if silence is not None else ""
    match kind:
        case "failed":
            return f"failed: {first_line(deployment.reason)}"
        case "image":
            return f"image {deployment.title}, {deployment.progress or 0.0:.0%}{tail}"
        case "looking" | "disks" | "finishing" | "seeding":
            return f"{deployment.phase} of {deployment.title}{tail}"
        case _:
            return f"{kind}: {deployment.title}"


def first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
