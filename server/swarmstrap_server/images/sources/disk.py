# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole disk as a tree of one sparse file: the parts of it that its filesystems use."""

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from swarmstrap.extents import Extents, common, gaps, merged, total, without
from swarmstrap.index import ROOT, Entry
from swarmstrap.manifest import DISK_FILE, DiskFacts, Facts
from swarmstrap.units import MiB
from swarmstrap_server.images.facts import About
from swarmstrap_server.images.source import Found
from swarmstrap_server.images.sources import holes
from swarmstrap_server.images.sources.architecture import runs_on
from swarmstrap_server.images.sources.blocks import Used, used_blocks
from swarmstrap_server.images.sources.partitions import EXTENDED, guess_sector, read_disk
from swarmstrap_server.images.sources.rawdisk import RawDisk, raw_disk

# A node may leave these as they are; shorter ones, and more of them, are not worth their lines.
_MOST_UNUSED = 1024
_LEAST_UNUSED = MiB
_MODE = 0o644


@contextmanager
def disk_image(
    path: Path,
    folder: Path,
    *,
    sector: int | None = None,
    all_blocks: bool = False,
    architecture: str = "",
) -> Iterator[tuple["Disk", About]]:
    """An image of the kind `disk`; what needs room is unpacked below `folder`.

    With `all_blocks` those of deleted files come along. Raises CaptureFailed for what is no disk.
    """
    warnings: list[str] = []
    with raw_disk(path, folder, warnings) as disk:
        source = Disk(disk, warnings, sector=sector, all_blocks=all_blocks)
        facts = source.facts
        yield source, About("disk", architecture or runs_on(disk.path, facts), Facts(), facts)


class Disk:
    """A source of one file. Its facts are those of the image when it was made."""

    def __init__(
        self, disk: RawDisk, warnings: list[str], *, sector: int | None, all_blocks: bool
    ) -> None:
        self.name = disk.name
        self.warnings = warnings
        self._path = disk.path
        self._status = os.stat(disk.path)
        facts = read_disk(disk, sector or guess_sector(disk.path), warnings)
        self._extents, self.facts = _look(disk, facts, warnings, all_blocks=all_blocks)

    def look(self, path: bytes) -> Found | None:
        if path == ROOT:
            return Found(Entry(ROOT, "d", 0o755, 0, 0, 0))
        if path == DISK_FILE:
            entry = Entry(DISK_FILE, "f", _MODE, 0, 0, 0, size=self.facts.size)
            return Found(entry, stored=total(self._extents))
        return None

    def names(self, path: bytes) -> list[bytes]:
        return [DISK_FILE] if path == ROOT else []

    @contextmanager
    def open(self, entry: Entry) -> Iterator["_Data"]:
        with self._path.open("rb", buffering=0) as file:
            yield _Data(file.fileno(), self._status, self._extents)

    def reaches(self, place: Path) -> bool:
        return False


class _Data:
    """What is in none of the extents is zeros, whatever the disk holds there."""

    def __init__(self, file: int, status: os.stat_result, extents: Extents) -> None:
        self.extents = holes.coarser(extents, holes.MAX_EXTENTS)
        self._file = file
        self._status = status
        self._real = extents
        self._starts = [start for start, _ in extents]

    def pread(self, size: int, offset: int) -> bytes:
        place = bisect_right(self._starts, offset) - 1
        end = sum(self._real[place]) if place >= 0 else 0
        if offset < end:
            return os.pread(self._file, min(size, end - offset), offset)
        following = self._starts[place + 1 : place + 2] or [offset + size]
        return bytes(min(size, following[0] - offset))

    def changed(self) -> bool:
        now = os.fstat(self._file)
        if stat.S_ISBLK(now.st_mode):
            return False  # nobody can tell
        before = self._status
        return (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size)


def _look(
    disk: RawDisk, facts: DiskFacts, warnings: list[str], *, all_blocks: bool
) -> tuple[Extents, DiskFacts]:
    """The extents that are not all zeros, and the facts with what became of each partition."""
    partitions = []
    taken: list[tuple[int, int]] = []
    for part in facts.partitions:
        if all_blocks or part.type in EXTENDED:
            used = Used(((part.start, part.size),), "all blocks")
        else:
            used = used_blocks(disk.path, part, facts.logical_sector)
        warnings += [used.warning] if used.warning else []
        partitions.append(replace(part, used=used.method))
        # The extended partition of a DOS table is those in it, and a few sectors between them.
        taken += used.extents if part.type not in EXTENDED else ()
    inside = merged(
        (part.start, part.size) for part in facts.partitions if part.type not in EXTENDED
    )
    free = without(inside, merged(taken))
    extents = _not_zero(disk, gaps(free, facts.size))
    unused = [part for part in common(free, gaps(extents, facts.size)) if part[1] >= _LEAST_UNUSED]
    largest = sorted(unused, key=lambda part: -part[1])[:_MOST_UNUSED]
    return extents, replace(facts, partitions=tuple(partitions), unused=tuple(sorted(largest)))


def _not_zero(disk: RawDisk, parts: Extents) -> Extents:
    with disk.path.open("rb", buffering=0) as raw:
        file = raw.fileno()
        if stat.S_ISREG(os.fstat(file).st_mode):
            parts = common(parts, merged(holes.as_said(file, disk.size)))
        blocks = holes.without_zeros(lambda size, offset: os.pread(file, size, offset), parts)
        return common(merged(blocks), parts)
