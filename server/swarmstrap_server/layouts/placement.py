# SPDX-License-Identifier: GPL-2.0-or-later
"""A layout on one machine, in words: which disks and why, each size and the rule that gave it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmstrap.foreign import everything
from swarmstrap.hardware import Disk, Inventory
from swarmstrap.hints import Match
from swarmstrap.layout import DiskLayout, Layout, LogicalVolume, Sized, ThinPool, kind
from swarmstrap.partitioning import BIOS_BOOT, grain, usable
from swarmstrap.placing import (
    Identity,
    PlacedDisk,
    PlacedMount,
    PlacedVolume,
    partitions_of,
    place_disks,
)
from swarmstrap.selectors import select
from swarmstrap.stacking import EXTENT, Placed, stack
from swarmstrap.steps.storage import MakeLogical, MakePool
from swarmstrap.units import MiB, align_down, align_up, human, parse_share
from swarmstrap.volumes import PartitionVolume
from swarmstrap_server.layouts.explain import use, weights, which


@dataclass(frozen=True, slots=True)
class Machine:
    """What a layout is tried on: `node` is its name, which UUIDs depend on, and `skip` what its
    site never touches.
    """

    inventory: Inventory
    node: str = ""
    skip: Sequence[Match] = ()


def placed_on(layout: Layout, machine: Machine) -> Placed:
    """As in a deployment without a name. Raises Unplannable where the machine does not fit."""
    identity = Identity("", machine.node)
    disks = place_disks(layout, machine.inventory.disks, identity, machine.skip)
    return stack(layout, disks, identity)


def explain_on(layout: Layout, machine: Machine) -> Iterator[str]:
    """Lines of text. Raises Unplannable where the machine does not fit, after the lines that
    explain what does.
    """
    inventory = machine.inventory
    selections = select(layout.disks, inventory.disks, skip=machine.skip)
    for entry, selection in zip(layout.disks, selections, strict=True):
        yield f"disk {entry.id}: {which(entry)}"
        yield from (f"  {line}" for line in selection.table())
    chosen = {disk.name for selection in selections for disk in selection.disks}
    if rest := [disk.name for disk in inventory.disks if disk.name not in chosen]:
        yield f"never written: {', '.join(rest)}"
    if kind(layout) == "disk":
        yield "the image decides about its partitions"
        return
    placed = placed_on(layout, machine)
    entries = [entry for entry in layout.disks for _ in range(entry.count)]
    for entry, disk in zip(entries, placed.disks, strict=True):
        same = next(d for d in inventory.disks if d.name == disk.id.name)
        yield from _disk(entry, disk, same)
    yield from _stack(layout, placed)


def _disk(entry: DiskLayout, disk: PlacedDisk, machines: Disk) -> Iterator[str]:
    start, end = usable(machines.size, machines.logical_sector, machines.optimal_io, disk.table)
    step, room = grain(machines.optimal_io), end - start
    yield ""
    yield f"{disk.id.name} for {entry.id}"
    yield f"  {_replaced(entry, disk, machines)}"
    yield (
        f"  {'a GPT' if disk.table == 'gpt' else 'an MBR'} with {human(room)} for partitions, "
        f"sectors of {machines.logical_sector} bytes, steps of {human(step)}"
    )
    wanted = {partition.label: partition for partition in partitions_of(entry)}
    width = max(map(len, wanted))
    total = weights([wanted[volume.label] for volume in disk.volumes])
    for volume in disk.volumes:
        partition = wanted[volume.label]
        if volume.preserved:
            rule = "is there, and is not written"
        elif partition is BIOS_BOOT:
            rule = "comes by itself"
        else:
            rule = _rule(partition, volume.size, _Room(room, step, total))
        yield f"  {_place(volume, width)}  {'; '.join(filter(None, [rule, use(partition)]))}"
    there = {volume.label for volume in disk.volumes}
    for label in [label for label in wanted if label not in there]:
        rank = wanted[label].priority
        yield f"     {label:<{width}} left out: too little room for every minimum (priority {rank})"


def _replaced(entry: DiskLayout, disk: PlacedDisk, machines: Disk) -> str:
    """What becomes of what is there; `machines` is the same disk as the inventory has it."""
    gone = ", ".join(everything(machines, [partition.number for partition in disk.kept]))
    kept = " and ".join(partition.label for partition in disk.kept)
    stays = f"{kept} stays, " if kept else ""
    return f"{stays}replaced by `wipe: {entry.wipe}`: {gone}" if gone else f"{stays}empty"


def _place(volume: PlacedVolume, width: int) -> str:
    assert isinstance(volume.volume, PartitionVolume), "a disk has partitions"
    part = volume.volume.partition
    size, start = human(part.size), human(part.start)
    return f"{part.number:>2} {part.label:<{width}} {size:>10} at {start:<10}"


@dataclass(frozen=True, slots=True)
class _Room:
    """What sizes were shared out of, in bytes; the steps of sizes, and the sum of all weights."""

    size: int
    step: int
    weights: int


def _rule(wish: Sized | ThinPool, given: int, room: _Room) -> str:
    """Why `wish` has the size that it was `given`."""
    if wish.size:
        return f"size: {wish.size}"
    least = parse_share(wish.size_min, room.size) if wish.size_min else MiB
    if given == align_up(least, room.step):
        return f"its minimum, {wish.size_min or human(least)}"
    if wish.size_max and given == align_down(parse_share(wish.size_max, room.size), room.step):
        return f"its maximum, {wish.size_max}"
    weight = wish.weight or 1
    if weight == room.weights:
        return "all that is left over"
    return f"by weight {weight} of what is left over"


def _stack(layout: Layout, placed: Placed) -> Iterator[str]:
    """What is made of the partitions, and where each filesystem is seen."""
    if placed.making:
        yield ""
        yield "made of them, in this order"
    for step in placed.making:
        rule = ""
        if isinstance(step, MakePool | MakeLogical):
            rule = f" ({_rule_in_group(layout, step)})"
        yield f"  {step}{rule}"
    yield ""
    yield "filesystems"
    for volume in placed.volumes:
        if volume.format is None:
            continue
        targets = " ".join([volume.format, *map(_target, volume.mounts)])
        yield f"  {targets}: {human(volume.size)}, on {volume.volume}"


def _rule_in_group(layout: Layout, step: MakePool | MakeLogical) -> str:
    group = next(group for group in layout.volume_groups if group.name == step.volume.group)
    shared: list[ThinPool | LogicalVolume] = [*group.pools]
    shared += [volume for volume in group.volumes if not volume.pool]
    wishes = {wish.name: wish for wish in (*shared, *group.volumes)}
    return _rule(wishes[step.volume.name], step.size, _Room(0, EXTENT, weights(shared)))


def _target(mount: PlacedMount) -> str:
    return f"{mount.target} ({mount.subvolume})" if mount.subvolume else mount.target
