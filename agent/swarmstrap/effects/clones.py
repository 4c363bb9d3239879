# SPDX-License-Identifier: GPL-2.0-or-later
"""Identifiers that a copied disk shares with another disk of the node: a system that looks for
one of them may find the wrong disk.
"""

from collections.abc import Iterator

import msgspec

from swarmstrap.effects import udev
from swarmstrap.effects.run import run
from swarmstrap.steps import CheckClones

_SECONDS = 60.0
_COLUMNS = "PATH,TYPE,UUID,LABEL,PARTUUID,PTUUID"


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block device as lsblk tells of it, with what lies on top of it."""

    path: str
    type: str
    uuid: str | None = None
    label: str | None = None
    partuuid: str | None = None
    ptuuid: str | None = None
    children: tuple["Block", ...] = ()


class _Listing(msgspec.Struct, frozen=True):
    blockdevices: tuple[Block, ...]


def shared_with_others(step: CheckClones) -> list[str]:
    """As `shared`. Blocking."""
    udev.settle()
    return shared(look(), udev.find(step.disk))


def look() -> tuple[Block, ...]:
    """All disks, as udev has seen them. Blocking."""
    shown = run(["lsblk", "--json", "--output", _COLUMNS], timeout=_SECONDS)
    listing = msgspec.json.decode(shown.stdout, type=_Listing)
    return tuple(block for block in listing.blockdevices if block.type == "disk")


def shared(disks: tuple[Block, ...], node: str) -> list[str]:
    """One line for each identifier of the disk `node` that another disk has as well."""
    own = {mark: path for disk in disks if disk.path == node for mark, path in _marks(disk)}
    return [
        f"{mark} is on {own[mark]} and on {path}"
        for disk in disks
        if disk.path != node
        for mark, path in _marks(disk)
        if mark in own
    ]


def _marks(block: Block) -> Iterator[tuple[str, str]]:
    whole_disk = block.type == "disk"
    for word, value in (
        ("table UUID", block.ptuuid if whole_disk else None),
        ("partition UUID", block.partuuid),
        ("filesystem UUID", block.uuid),
        ("filesystem label", block.label),
    ):
        if value:
            yield f"{word} {value}", block.path
    for child in block.children:
        yield from _marks(child)
