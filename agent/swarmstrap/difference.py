# SPDX-License-Identifier: GPL-2.0-or-later
"""What an update has to do, as a value, and what follows from it. Pure."""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from swarmstrap.index import ROOT, Index, shown
from swarmstrap.units import human

# By entry number: the frames whose part of the file's data the disk has already.
Held = Mapping[int, frozenset[int]]

_BLOCK = 4096
_GRUB = re.compile(rb"usr/(lib|share)/grub2?/.*|usr/s?bin/grub2?-.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Entries by number, paths children first. `made` have no data, `written` have; `described`
    get their metadata only. `cleared` goes before anything is written, `removed` after all of it.
    `reused` are parts that a written file takes over from the one before.
    """

    made: tuple[int, ...]
    written: tuple[int, ...]
    linked: tuple[int, ...]
    described: tuple[int, ...]
    cleared: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    reused: Held

    @property
    def replaced(self) -> tuple[int, ...]:
        """All that come into being anew."""
        return (*self.made, *self.written, *self.linked)

    def __bool__(self) -> bool:
        return any((self.replaced, self.described, self.cleared, self.removed))


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A difference for people and programs: paths as `index.shown` gives them, in the order of the
    tree; `fetch` in bytes of the payload.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    metadata: tuple[str, ...]
    removed: tuple[str, ...]
    fetch: int

    def lines(self) -> Iterator[str]:
        marks = (("+", self.added), ("~", self.changed), ("m", self.metadata), ("-", self.removed))
        return (f"{mark} {path}" for mark, paths in marks for path in paths)

    def summary(self) -> str:
        return (
            f"{len(self.added)} new, {len(self.changed)} changed, {len(self.metadata)} with other "
            f"metadata, {len(self.removed)} to remove; {human(self.fetch)} to fetch"
        )


def changes(index: Index, difference: Difference, found: Container[bytes]) -> Changes:
    """`found` are the paths that are there."""
    entries = index.entries
    replaced = [entries[number].path for number in sorted(difference.replaced)]
    gone = {*difference.cleared, *difference.removed} - set(replaced)
    return Changes(
        added=tuple(shown(path) for path in replaced if path not in found),
        changed=tuple(shown(path) for path in replaced if path in found),
        metadata=tuple(shown(entries[number].path) for number in difference.described),
        removed=tuple(shown(path) for path in sorted(gone)),
        fetch=sum(index.frames[number].length for number in wanted_frames(index, difference)),
    )


def wanted_frames(index: Index, difference: Difference) -> list[int]:
    """The frames that must be there for what is `written`, less what the disk has."""
    written = frozenset(difference.written)
    return [
        number
        for number, frame in enumerate(index.frames)
        if any(
            member.entry in written and number not in difference.reused.get(member.entry, ())
            for member in frame.members
        )
    ]


def touched_directories(index: Index, difference: Difference) -> list[int]:
    """Directories whose time or other metadata are to be set at the end, leaves first."""
    entries = index.entries
    changed = [entries[number].path for number in difference.replaced]
    parents = {parent(path) for path in (*changed, *difference.cleared, *difference.removed)}
    touched = {*difference.made, *difference.described}
    return [
        number
        for number in reversed(range(len(entries)))
        if entries[number].kind == "d" and (number in touched or entries[number].path in parents)
    ]


def room_needed(
    index: Index, difference: Difference, devices: Mapping[bytes, int]
) -> dict[int, int]:
    """Bytes by device (st_dev) while everything new lies beside everything old. `devices` has the
    device of every path that is there.
    """
    data: Counter[int] = Counter()
    for frame in index.frames:
        for member in frame.members:
            data[member.entry] += sum(segment.length for segment in member.segments)
    room: Counter[int] = Counter()
    for number in difference.replaced:
        path = index.entries[number].path
        while path not in devices:
            path = parent(path)
        room[devices[path]] += data[number] // _BLOCK * _BLOCK + _BLOCK
    return dict(room)


def changes_grub(index: Index, difference: Difference) -> bool:
    """Whether what grub-install copies is another than before."""
    paths = (index.entries[number].path for number in (*difference.made, *difference.written))
    return any(_GRUB.fullmatch(path) for path in (*paths, *difference.removed))


def parent(path: bytes) -> bytes:
    """Of an index's path: that of the directory it is in."""
    return path.rpartition(b"/")[0] or ROOT
