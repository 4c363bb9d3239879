# SPDX-License-Identifier: GPL-2.0-or-later
"""What the index of a disk image says about the disk: which parts have data, which need none."""

from dataclasses import dataclass

from swarmstrap.errors import Untrusted
from swarmstrap.extents import Extents, common, gaps, merged, without
from swarmstrap.index import ROOT, Index
from swarmstrap.manifest import DISK_FILE, DiskFacts
from swarmstrap.units import MiB

# Boot code and both copies of a GPT lie within.
_END = MiB


@dataclass(frozen=True, slots=True)
class Room:
    """The disk without the image's data: what must read as zeros, and what nothing uses."""

    zero: Extents
    unused: Extents


def check_disk(index: Index, facts: DiskFacts) -> None:
    """For an index that `index.check` accepted. Raises Untrusted unless it is one file, as large
    as the disk, with data in whole sectors.
    """
    paths = [entry.path for entry in index.entries]
    if paths != [ROOT, DISK_FILE] or index.entries[1].size != facts.size:
        raise _refused(f"is not one file {DISK_FILE.decode()} of {facts.size} bytes")
    sector = facts.logical_sector
    if sector < 512 or facts.size % sector:
        raise _refused(f"has {facts.size} bytes in sectors of {sector}")
    for start, size in (*_data(index), *facts.unused):
        if start % sector or size % sector or not 0 <= start <= start + size <= facts.size:
            raise _refused(f"names {size} bytes at {start}, which are no whole sectors of it")


def room(index: Index, facts: DiskFacts) -> Room:
    empty = gaps(_data(index), facts.size)
    unused = common(empty, merged(facts.unused))
    return Room(zero=without(empty, unused), unused=unused)


def last_frames(index: Index, facts: DiskFacts) -> tuple[int, ...]:
    """The frames with data at either end of the disk, without which nothing boots from it."""
    ends = merged([(0, _END), (facts.size - _END, _END)])
    return tuple(
        number
        for number, frame in enumerate(index.frames)
        if any(
            common(ends, ((segment.file_offset, segment.length),))
            for member in frame.members
            for segment in member.segments
        )
    )


def _data(index: Index) -> Extents:
    return merged(
        (segment.file_offset, segment.length)
        for frame in index.frames
        for member in frame.members
        for segment in member.segments
    )


def _refused(reason: str) -> Untrusted:
    return Untrusted(f"the disk image {reason}", hint="capture and publish the image again")
