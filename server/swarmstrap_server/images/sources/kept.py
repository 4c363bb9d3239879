# SPDX-License-Identifier: GPL-2.0-or-later
"""Data that stay in an archive: where in it the parts of a file are."""

import os
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from swarmstrap.extents import Extents
from swarmstrap_server.images.sources import holes


class Store:
    """An open file that the data of a tree are in. Whoever opened it closes it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._state = self._now()

    @property
    def size(self) -> int:
        return self._state[0]

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def changed(self) -> bool:
        return self._now() != self._state

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self.descriptor)
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the data of a file are: one part of `store` after the other, from `begin` on."""

    store: Store
    begin: int
    parts: Extents
    size: int


class KeptData:
    """The data of a file of a tree; what is in none of its parts is zeros."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._begins = [begin for begin, _ in kept.parts]
        lengths = [length for _, length in kept.parts]
        self._places = list(accumulate(lengths, initial=kept.begin))

    @cached_property
    def extents(self) -> Extents:
        return holes.canonical(self.pread, self._kept.parts, self._kept.size)

    def pread(self, size: int, offset: int) -> bytes:
        size = max(0, min(size, self._kept.size - offset))
        part = bisect_right(self._begins, offset) - 1
        if part >= 0:
            begin, length = self._kept.parts[part]
            within = offset - begin
            if within < length:
                place = self._places[part] + within
                return self._kept.store.pread(min(size, length - within), place)
        if part + 1 < len(self._begins):
            size = min(size, self._begins[part + 1] - offset)
        return bytes(size)

    def changed(self) -> bool:
        return self._kept.store.changed()
