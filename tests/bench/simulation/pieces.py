# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has which piece, and which of a neighbour's is the rarest, in two calls of numpy."""

from collections.abc import Iterable

import numpy as np

_NO = np.uint16(0x8000)  # above what 127 neighbours have: had, asked for, or not there
_ONE = np.uint16(256)  # one neighbour that has the piece; below it chance decides


class Pieces:
    """For each node a key by piece, lowest wanted most: how many neighbours have it, then chance,
    so that nodes which know as little as each other want different pieces.
    """

    def __init__(self, nodes: int, seeders: int, pieces: int, seed: int) -> None:
        chance = np.random.default_rng(seed).integers(0, 256, (nodes, pieces), dtype=np.uint16)
        absent = np.full((nodes + seeders, pieces), _NO, dtype=np.uint16)
        absent[nodes:] = 0
        self._all_keys = chance
        self._keys = list(chance)
        self._absent = list(absent)
        self._buffer = np.empty(pieces, dtype=np.uint16)
        self._neighbours = [np.empty(0, dtype=np.intp) for _ in range(nodes)]
        # What numpy would look up slowly: 1 is wanted and not asked for.
        self.wanted = [bytearray(b"\1" * pieces) for _ in range(nodes)]
        self.unasked = [pieces] * nodes

    def rarest(self, node: int, giver: int) -> int:
        """What `node` wants, has not asked for, and `giver` has; -1 if there is nothing."""
        buffer = self._buffer
        np.bitwise_or(self._keys[node], self._absent[giver], out=buffer)
        piece = int(buffer.argmin())
        return piece if buffer[piece] < _NO else -1

    def has(self, peer: int, piece: int) -> bool:
        return not self._absent[peer][piece]

    def asked(self, node: int, piece: int) -> None:
        self.wanted[node][piece] = 0
        self.unasked[node] -= 1
        self._keys[node][piece] |= _NO

    def lost(self, node: int, piece: int) -> None:
        """Asked for, and will not come."""
        self.wanted[node][piece] = 1
        self.unasked[node] += 1
        self._keys[node][piece] &= ~_NO

    def arrived(self, node: int, piece: int) -> None:
        self._absent[node][piece] = 0
        self._all_keys[self._neighbours[node], piece] += _ONE

    def meet(self, node: int, others: Iterable[int]) -> None:
        """`others` are nodes that it did not know."""
        for one, other in [pair for new in others for pair in ((node, new), (new, node))]:
            self._neighbours[one] = np.append(self._neighbours[one], other)
            self._keys[one] += _ONE * (self._absent[other] == 0)

    def part(self, node: int, others: Iterable[int]) -> None:
        """The reverse of `meet`, as `others` see it: `node` has gone."""
        for other in others:
            known = self._neighbours[other]
            self._neighbours[other] = known[known != node]
            self._keys[other] -= _ONE * (self._absent[node] == 0)
