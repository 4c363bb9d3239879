# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose bytes were good: payload received, told apart by where it came from.

Blocks are booked under their piece, and count once the piece's hash holds. So the sums never
contain a byte twice, and end as the exact size of the image.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 1 << 14  # BEP 3: what every client asks for at once
_DEALER = "the server's deal"


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of verified pieces, `kept` those that an earlier try had left; `refused` counts pieces
    whose hash did not hold.
    """

    from_seeder: int = 0
    from_peers: int = 0
    refused: int = 0
    kept: int = 0

    @property
    def total(self) -> int:
        return self.from_seeder + self.from_peers + self.kept


def piece_sizes(files: Sequence[int], piece_length: int) -> tuple[int, ...]:
    """Bytes of each piece of a v2 torrent, where every file begins with a piece of its own."""
    sizes: list[int] = []
    for size in files:
        whole, rest = divmod(size, piece_length)
        sizes += [piece_length] * whole + [rest] * bool(rest)
    return tuple(sizes)


class Ledger:
    """Books blocks by the address they came from; `seeders` are the site's own."""

    def __init__(self, sizes: Sequence[int], seeders: frozenset[str]) -> None:
        self._sizes = sizes
        self._seeders = seeders | {_DEALER}
        self._open: defaultdict[int, dict[int, str]] = defaultdict(dict)
        self._dealt: set[int] = set()
        self._seeder = self._peers = self._refused = self._kept = 0
        self._good: set[str] = set()
        self._bad: set[str] = set()

    @property
    def received(self) -> Received:
        return Received(self._seeder, self._peers, self._refused, self._kept)

    @property
    def liars(self) -> frozenset[str]:
        """Who had a part in refused pieces and in no other; never a seeder of the site."""
        return frozenset(self._bad - self._good - self._seeders)

    def block(self, piece: int, block: int, source: str) -> None:
        if piece not in self._dealt:
            self._open[piece][block] = source

    def dealt(self, piece: int) -> None:
        """All of it came from the server at once, whatever of it had come before."""
        self._dealt.add(piece)
        for block in range(-(-self._sizes[piece] // BLOCK)):
            self._open[piece][block] = _DEALER

    def verified(self, piece: int) -> None:
        if piece not in self._open:
            self._kept += self._sizes[piece]
        for block, source in self._open.pop(piece, {}).items():
            size = min(BLOCK, self._sizes[piece] - block * BLOCK)
            self._good.add(source)
            if source in self._seeders:
                self._seeder += size
            else:
                self._peers += size

    def refused(self, piece: int) -> None:
        """The blocks stay booked: those that libtorrent asks for again are then overwritten."""
        self._dealt.discard(piece)
        self._bad.update(self._open[piece].values())
        self._refused += 1
