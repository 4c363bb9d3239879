# SPDX-License-Identifier: GPL-2.0-or-later
"""Where partitions lie: pure arithmetic in Bytes, the same answer for the same disk and layout.

systemd-repart's rules: what is left over is shared by `weight` (1 unless given), within
`size_min` and `size_max`; when even the minimums do not fit, the partition with the highest
`priority` goes first, and the last of those that have it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Partition, minimum
from swarmstrap.units import Bytes, KiB, MiB, align_down, align_up, parse_size

# GRUB's core image for a GPT disk (about 130 KiB with ext4, xfs and search in it) lies here.
BIOS_BOOT = Partition(label="bios-boot", type="bios-boot", size="1MiB")
# Some USB bridges report an optimal I/O size of 65535 sectors; nobody wants gaps of that kind.
_WIDEST_GRAIN = 64 * MiB
_ENTRIES = 16 * KiB


@dataclass(frozen=True, slots=True)
class Extent:
    """A partition with its place, in bytes from the start of the disk."""

    partition: Partition
    start: Bytes
    size: Bytes


@dataclass(slots=True, eq=False)
class _Share:
    """The bounds of one partition and what it has, counted in grains."""

    weight: int
    least: int
    most: int | None
    size: int = 0

    def clamp(self, size: int) -> int:
        return max(self.least, size if self.most is None else min(size, self.most))


def grain(optimal_io: int) -> Bytes:
    """What starts and sizes are multiples of: 1 MiB, widened to whole stripes of a RAID."""
    width = math.lcm(MiB, optimal_io) if optimal_io > 0 else MiB
    return Bytes(width) if width <= _WIDEST_GRAIN else MiB


def usable(disk_size: int, logical_sector: int, optimal_io: int = 0) -> tuple[Bytes, Bytes]:
    """First byte and end of the room for partitions, between the GPT at both ends of the disk."""
    step = grain(optimal_io)
    head = 2 * logical_sector + _ENTRIES  # protective MBR, header, entries
    tail = logical_sector + _ENTRIES
    return align_up(head, step), align_down(max(0, disk_size - tail), step)


def place(
    partitions: Sequence[Partition],
    *,
    disk_size: int,
    logical_sector: int,
    optimal_io: int = 0,
) -> tuple[Extent, ...]:
    """The partitions that stay, one after the other. Raises Unplannable when they cannot fit."""
    step = grain(optimal_io)
    start, end = usable(disk_size, logical_sector, optimal_io)
    room = max(0, end - start) // step
    kept = _drop(partitions, room, step)
    extents = []
    for partition, size in zip(kept, divide(kept, room, step), strict=True):
        extents.append(Extent(partition, start, Bytes(size * step)))
        start = Bytes(start + size * step)
    return tuple(extents)


def _least(partition: Partition, step: Bytes) -> int:
    return align_up(minimum(partition), step) // step


def _drop(partitions: Sequence[Partition], room: int, step: Bytes) -> list[Partition]:
    kept = list(partitions)
    while sum(_least(partition, step) for partition in kept) > room:
        rank, position = max((p.priority, i) for i, p in enumerate(kept))
        if rank == 0:
            raise _too_large(kept, room, step)
        del kept[position]
    return kept


def _too_large(partitions: Sequence[Partition], room: int, step: Bytes) -> Unplannable:
    needs = [_least(partition, step) * step // MiB for partition in partitions]
    parts = ", ".join(
        f"{partition.label} {need}" for partition, need in zip(partitions, needs, strict=True)
    )
    return Unplannable(
        f"layout needs {sum(needs)} MiB ({parts}) and the disk has {room * step // MiB} MiB for "
        "partitions",
        hint="lower size_min, or give a partition a priority so that it may be dropped",
    )


def _bounds(partition: Partition, step: Bytes) -> _Share:
    least = _least(partition, step)
    if partition.size:
        return _Share(0, least, least)
    most = max(least, parse_size(partition.size_max) // step) if partition.size_max else None
    return _Share(partition.weight or 1, least, most)


def divide(partitions: Sequence[Partition], room: int, step: Bytes) -> list[int]:
    """Sizes in grains of `step` bytes, `room` of which are there: shares by weight, those outside
    their bounds frozen there, until all fit.

    The rule by which CSS lays out flexible boxes: freeze what is too small when the bounds made
    the sum too large, what is too large when they made it too small. Each turn freezes one.
    """
    shares = [_bounds(partition, step) for partition in partitions]
    flexible = [share for share in shares if share.weight]
    for share in shares:
        share.size = share.least
    while flexible:
        free = room - sum(share.size for share in shares if share not in flexible)
        _divide(flexible, free)
        excess = sum(share.clamp(share.size) - share.size for share in flexible)
        if excess == 0:
            break
        frozen = [s for s in flexible if (s.clamp(s.size) - s.size) * excess > 0]
        for share in frozen:
            share.size = share.clamp(share.size)
        flexible = [share for share in flexible if share not in frozen]
    return [share.clamp(share.size) for share in shares]


def _divide(shares: Sequence[_Share], free: int) -> None:
    """Whole grains in proportion to the weights, of which none is lost to rounding."""
    total = sum(share.weight for share in shares)
    reached = 0
    given = 0
    for share in shares:
        reached += share.weight
        share.size = free * reached // total - given
        given += share.size
