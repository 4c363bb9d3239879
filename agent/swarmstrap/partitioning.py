# SPDX-License-Identifier: GPL-2.0-or-later
"""Where partitions lie and how large volumes are: pure arithmetic in Bytes, the same answer for
the same room and layout.

systemd-repart's rules: what is left over is shared by `weight` (1 unless given), within
`size_min` and `size_max`; when even the minimums do not fit, the partition with the highest
`priority` goes first, and the last of those that have it.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Partition, Sized, Table, ThinPool
from swarmstrap.units import (
    Bytes,
    KiB,
    MiB,
    align_down,
    align_up,
    is_share,
    parse_share,
    parse_size,
)

# GRUB's core image for a GPT disk (about 130 KiB with ext4, xfs and search in it) lies here.
BIOS_BOOT = Partition(label="bios-boot", type="bios-boot", size="1MiB")
# Some USB bridges report an optimal I/O size of 65535 sectors; nobody wants gaps of that kind.
_WIDEST_GRAIN = 64 * MiB
_ENTRIES = 16 * KiB
# An MBR counts start and size in 32 bits.
_MBR_SECTORS = 2**32 - 1

# What has a size to be decided.
Wish = Sized | ThinPool


@dataclass(frozen=True, slots=True)
class Extent:
    """A partition with its number and its place, in bytes from the start of the disk."""

    partition: Partition
    number: int
    start: Bytes
    size: Bytes


@dataclass(slots=True, eq=False)
class _Share:
    """The bounds of one partition or volume and what it has, counted in steps."""

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


def usable(
    disk_size: int, logical_sector: int, optimal_io: int = 0, table: Table = "gpt"
) -> tuple[Bytes, Bytes]:
    """First byte and end of the room for partitions: between the GPT at both ends of the disk, or
    behind an MBR and the gap in which GRUB lies, as far as its 32-bit sectors reach.
    """
    step = grain(optimal_io)
    if table == "msdos":
        return step, align_down(min(disk_size, _MBR_SECTORS * logical_sector), step)
    head = 2 * logical_sector + _ENTRIES  # protective MBR, header, entries
    tail = logical_sector + _ENTRIES
    return align_up(head, step), align_down(max(0, disk_size - tail), step)


def place(
    partitions: Sequence[Partition],
    *,
    disk_size: int,
    logical_sector: int,
    optimal_io: int = 0,
    table: Table = "gpt",
    kept: Sequence[Extent] = (),
) -> tuple[Extent, ...]:
    """The partitions that stay, one after the other as in the layout, each with the lowest number
    that is free.

    Those of `kept` are on the disk and stay where they are: what the layout lists before one is
    placed before it. Raises Unplannable when they cannot fit.
    """
    step = grain(optimal_io)
    start, end = usable(disk_size, logical_sector, optimal_io, table)
    whole = Bytes(max(0, end - start))
    stays = {extent.partition.label: extent for extent in kept}
    taken = {extent.number for extent in kept}
    numbers = (number for number in itertools.count(1) if number not in taken)
    extents: list[Extent] = []
    run: list[Partition] = []
    where, reached = "for partitions", 0
    for partition in partitions:
        extent = stays.get(partition.label)
        if extent is None:
            run.append(partition)
            continue
        if extent.start < reached:
            raise _out_of_order(partition.label, where)
        gap = _Gap(start, align_down(extent.start, step), whole, f"before {partition.label}")
        extents += [*_fill(gap, run, step, numbers), extent]
        run, where, reached = [], f"behind {partition.label}", extent.start + extent.size
        start = max(start, align_up(reached, step))
    gap = _Gap(start, end, whole, where)
    return (*extents, *_fill(gap, run, step, numbers))


def sizes(
    wishes: Mapping[str, Wish], *, room: Bytes, step: Bytes, whole: Bytes | None = None
) -> Mapping[str, Bytes]:
    """What each of `wishes` gets of `room`, whole steps of it; shares are of `whole`, or of `room`.

    Raises Unplannable, with what each needs by its name, when the least of all is too much.
    """
    ground = room if whole is None else whole
    shares = {name: _bounds(wish, step, ground) for name, wish in wishes.items()}
    need = sum(share.least for share in shares.values()) * step
    if need > room:
        parts = (f"{name} {share.least * step // MiB}" for name, share in shares.items())
        raise Unplannable(
            f"layout needs {need // MiB} MiB ({', '.join(parts)}) and there are {room // MiB} MiB",
            hint="lower size_min, or give a partition a priority so that it may be dropped",
        )
    _divide(list(shares.values()), room // step)
    return {name: Bytes(share.clamp(share.size) * step) for name, share in shares.items()}


@dataclass(frozen=True, slots=True)
class _Gap:
    """Room for partitions; shares are of `whole`, and `where` says which room it is."""

    start: Bytes
    end: Bytes
    whole: Bytes
    where: str


def _fill(
    gap: _Gap, partitions: Sequence[Partition], step: Bytes, numbers: Iterator[int]
) -> Iterator[Extent]:
    room = align_down(max(0, gap.end - gap.start), step)
    left = _drop(partitions, room, step, gap.whole)
    wishes = {partition.label: partition for partition in left}
    try:
        given = sizes(wishes, room=room, step=step, whole=gap.whole)
    except Unplannable as error:
        raise Unplannable(f"{error.message} {gap.where}", hint=error.hint) from error
    start = gap.start
    for partition in left:
        size = given[partition.label]
        yield Extent(partition, next(numbers), start, size)
        start = Bytes(start + size)


def _drop(
    partitions: Sequence[Partition], room: Bytes, step: Bytes, whole: Bytes
) -> list[Partition]:
    left = list(partitions)
    while sum(_least(partition, step, whole) for partition in left) * step > room:
        rank, position = max((p.priority, i) for i, p in enumerate(left))
        if rank == 0:
            break
        del left[position]
    return left


def _out_of_order(label: str, where: str) -> Unplannable:
    return Unplannable(
        f"{label} is to be preserved and does not lie {where} on the disk",
        hint="list the partitions to preserve in the order in which they lie on the disk",
    )


def _least(wish: Wish, step: Bytes, whole: Bytes) -> int:
    """In steps. A share is rounded down, so that all shares of 100 % fit."""
    text = wish.size or wish.size_min
    if not text:
        return 1
    if is_share(text):
        return max(1, parse_share(text, whole) // step)
    return align_up(parse_size(text), step) // step


def _bounds(wish: Wish, step: Bytes, whole: Bytes) -> _Share:
    least = _least(wish, step, whole)
    if wish.size:
        return _Share(0, least, least)
    most = max(least, parse_share(wish.size_max, whole) // step) if wish.size_max else None
    return _Share(wish.weight or 1, least, most)


def _divide(shares: Sequence[_Share], room: int) -> None:
    """Set sizes in steps, `room` of which are there: shares by weight, those outside their bounds
    frozen there, until all fit.

    The rule by which CSS lays out flexible boxes: freeze what is too small when the bounds made
    the sum too large, what is too large when they made it too small. Each turn freezes one.
    """
    flexible = [share for share in shares if share.weight]
    for share in shares:
        share.size = share.least
    while flexible:
        free = room - sum(share.size for share in shares if share not in flexible)
        _hand_out(flexible, free)
        excess = sum(share.clamp(share.size) - share.size for share in flexible)
        if excess == 0:
            break
        frozen = [s for s in flexible if (s.clamp(s.size) - s.size) * excess > 0]
        for share in frozen:
            share.size = share.clamp(share.size)
        flexible = [share for share in flexible if share not in frozen]


def _hand_out(shares: Sequence[_Share], free: int) -> None:
    """Whole steps in proportion to the weights, of which none is lost to rounding."""
    total = sum(share.weight for share in shares)
    reached = 0
    given = 0
    for share in shares:
        reached += share.weight
        share.size = free * reached // total - given
        given += share.size
