# SPDX-License-Identifier: GPL-2.0-or-later
"""Circles on which endpoints stand in the order of a hash: from each, who is near."""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import zip_longest

Endpoint = tuple[str, int]


class Circle:
    """Endpoints in the order of a hash, closed to a ring."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._places: list[tuple[bytes, Endpoint]] = []

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, endpoint: Endpoint) -> tuple[bytes, Endpoint]:
        text = f"{endpoint[0]}:{endpoint[1]}".encode()
        return hashlib.blake2b(text, digest_size=8, key=self._salt).digest(), endpoint

    def add(self, endpoint: Endpoint) -> None:
        insort(self._places, self._place(endpoint))

    def remove(self, endpoint: Endpoint) -> None:
        place = self._place(endpoint)
        at = bisect_left(self._places, place)
        if at < len(self._places) and self._places[at] == place:
            del self._places[at]

    def around(self, endpoint: Endpoint) -> Iterator[Endpoint]:
        """All others, the nearest first, on both sides in turn."""
        place = self._place(endpoint)
        at = bisect_left(self._places, place)
        count = len(self._places)
        here = at < count and self._places[at] == place
        after = at + here
        for distance in range((count - here + 1) // 2):
            right = (after + distance) % count
            left = (at - 1 - distance) % count
            yield self._places[right][1]
            if left != right:
                yield self._places[left][1]


def in_turn(circles: tuple[Circle, ...], endpoint: Endpoint) -> Iterator[Endpoint]:
    """The nearest on every circle, then the second nearest; whom one meets twice comes twice."""
    for step in zip_longest(*(circle.around(endpoint) for circle in circles)):
        yield from (found for found in step if found is not None)
