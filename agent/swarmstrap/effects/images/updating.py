# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree becomes another version of its image: compared, then written, then tidied.

In this order what boots is there before anything names it, and what booted until now goes last.
Whatever happens between two steps, beginning again ends the same.
"""

import asyncio
import os
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.comparing import FoundTree, compare, doubtful
from swarmstrap.difference import (
    Changes,
    Difference,
    changes,
    changes_grub,
    room_needed,
    touched_directories,
    wanted_frames,
)
from swarmstrap.effects.disks.mounts import sync
from swarmstrap.effects.images.compare import read_data, read_tree
from swarmstrap.effects.images.replacing import Replacing
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Existing
from swarmstrap.errors import StepFailed
from swarmstrap.index import ROOT, Index, shown
from swarmstrap.preserving import Rules
from swarmstrap.units import MiB, human

# What the filesystem takes for itself, and the system while it runs.
_RESERVE = 64 * MiB

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """How to update: what to leave alone, which mounts of the system belong to it, whether to read
    all data rather than to trust sizes and times, and whether what is fetched is staged in it.
    """

    rules: Rules
    mounts: tuple[str, ...] = ("/",)
    checksum: bool = False
    staged_inside: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found below `root`, and what is to be done about it."""

    root: Path
    index: Index
    found: FoundTree
    difference: Difference

    @property
    def frames(self) -> list[int]:
        return wanted_frames(self.index, self.difference)

    @property
    def changes(self) -> Changes:
        return changes(self.index, self.difference, self.found.found)

    @property
    def changes_grub(self) -> bool:
        return changes_grub(self.index, self.difference)


def look(
    root: Path, index: Index, terms: Terms, progress: Callable[[int], None] = lambda _: None
) -> Findings:
    """Compare; nothing is changed. Blocking. `progress` gets bytes of data that were read."""
    found = read_tree(root, index, terms.rules, terms.mounts)
    numbers = doubtful(index, found, terms.rules, everything=terms.checksum)
    held = read_data(root, index, numbers, progress)
    return Findings(root, index, found, compare(index, found, terms.rules, held))


class ExistingTree:
    """A destination of `fetch`. When that has ended: `describe`, and `tidy` once the new system can
    boot.
    """

    everything = False

    def __init__(self, root: Path, terms: Terms, tell: Tell, begun: Callable[[], None]) -> None:
        """`tell` gets one line of what differs; `begun` is called before the first change."""
        self._root = root
        self._terms = terms
        self._tell = tell
        self._begun = begun
        self._findings: Findings | None = None

    @property
    def place(self) -> Path:
        return self._root

    @property
    def findings(self) -> Findings:
        if self._findings is None:
            raise StepFailed("an update that was not begun has found nothing")
        return self._findings

    async def begin(self, writers: Writers, payload: Path, index: Index) -> None:
        self._findings = await asyncio.to_thread(look, self._root, index, self._terms)
        self._tell(self.findings.changes.summary())
        await asyncio.to_thread(self._make_way)
        only = frozenset(self.findings.difference.replaced)
        await writers.open(Existing(os.fsencode(self._root)), payload, index, only)
        await writers.skeleton()
        await asyncio.to_thread(self._take_over)

    def wanted(self, index: Index) -> Collection[int]:
        return self.findings.frames

    def last(self, index: Index) -> Collection[int]:
        return ()

    def describe(self) -> None:
        """The metadata of files that stay. Blocking."""
        entries = self.findings.index.entries
        with self._target() as target:
            for number in self.findings.difference.described:
                if entries[number].kind != "d":
                    target.describe(entries[number])

    def tidy(self) -> None:
        """Remove what the image does not have; then directories get their metadata. Blocking."""
        index, difference = self.findings.index, self.findings.difference
        if difference.removed:
            sync(self._root)  # what boots from now on is on the disk before what did is not
        with self._target() as target:
            for path in difference.removed:
                target.remove(path)
            for number in touched_directories(index, difference):
                target.describe(index.entries[number])

    def _target(self) -> "closing[Replacing]":
        return closing(Replacing(self._root, self.findings.found.bare))

    def _make_way(self) -> None:
        findings = self.findings
        if findings.difference:
            _check_room(findings, self._terms)
            self._begun()
        with self._target() as target:
            for path in findings.difference.cleared:
                target.remove(path)

    def _take_over(self) -> None:
        findings = self.findings
        entries, reused = findings.index.entries, findings.difference.reused
        with self._target() as target:
            for number, frame in enumerate(findings.index.frames):
                for member in frame.members:
                    if number in reused.get(member.entry, ()):
                        target.take_over(entries[member.entry], member.segments)


def _check_room(findings: Findings, terms: Terms) -> None:
    devices = {path: seen.inode[0] for path, seen in findings.found.found.items()}
    places = {device: path for path, device in reversed(devices.items())}
    needed = room_needed(findings.index, findings.difference, devices)
    if terms.staged_inside:
        root = devices[ROOT]
        needed[root] = needed.get(root, 0) + findings.changes.fetch
    for device, need in needed.items():
        status = os.statvfs(os.path.join(os.fsencode(findings.root), places[device]))
        free = status.f_bavail * status.f_frsize
        if need + _RESERVE > free:
            raise StepFailed(
                f"the filesystem of {shown(places[device])} has {human(free)} free, and the update "
                f"needs {human(need + _RESERVE)}: what is new lies beside what is old",
                hint="make room there, or deploy the image afresh",
            )
