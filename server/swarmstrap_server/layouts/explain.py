# SPDX-License-Identifier: GPL-2.0-or-later
"""A layout in words, before any machine is known; placement.py has it for a machine."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from swarmstrap.hints import parse_match
from swarmstrap.layout import (
    DiskLayout,
    Holder,
    Layout,
    LogicalVolume,
    Luks,
    Partition,
    Raid,
    Sized,
    ThinPool,
    Wipe,
    kind,
)
from swarmstrap.layoutcheck import format_of

Lines = Iterator[str]


def explain(layout: Layout) -> Lines:
    """Lines of text for one that passed layoutcheck."""
    for disk in layout.disks:
        yield f"disk {disk.id}: {which(disk)}"
        yield f"  {_replacing(disk.wipe)}"
        if kind(layout) == "disk":
            yield from _whole(disk)
            continue
        yield f"  {'a GPT' if disk.ptable == 'gpt' else 'an MBR'} with, in this order,"
        yield from _partitions(disk.partitions)
    yield from _arrays(layout.raid)
    yield from _sealed(layout.luks)
    for group in layout.volume_groups:
        yield f"volume group {group.name} on {', '.join(group.devices)}"
        total = weights([*group.pools, *(v for v in group.volumes if not v.pool)])
        for pool in group.pools:
            yield f"  thin pool {pool.name}: {size(pool, total)}"
        for volume in group.volumes:
            yield f"  {_logical(volume, total)}"
    if layout.bootloader:
        yield f"started by the image's {layout.bootloader}"
    if layout.kernel_arguments:
        yield f"the installed kernel gets {layout.kernel_arguments}"


def which(disk: DiskLayout) -> str:
    """What an entry asks for."""
    hints = ", ".join(map(str, parse_match(disk.match)))
    those = f"that fit {hints}" if hints else "that can be installed on"
    if disk.prefer:
        count = "" if disk.count == 1 else f"{disk.count} "
        return f"the {count}{disk.prefer} {those.replace('that', 'of those that', 1)}"
    if disk.count == 1:
        return f"the one disk {those.replace('that fit', 'that fits')}, and there must be no other"
    return f"the {disk.count} disks {those}, and there must be no more"


def _replacing(wipe: Wipe) -> str:
    match wipe:
        case "empty-only":
            return "must be empty: any signature on it stops the node"
        case "ordinary":
            return "tables and filesystems on it are replaced; members of arrays and groups are not"
        case "anything":
            return "whatever is on it is replaced"
        case _:
            assert_never(wipe)


def _whole(disk: DiskLayout) -> Lines:
    yield "  takes an image of a whole disk"
    rest = {"zero": "filled with zeros", "keep": "left as it is", "discard": "discarded"}
    yield f"  what the image does not use is {rest[disk.unused or 'discard']}"
    if disk.grow is not False:
        yield "  its last partition grows to the end of the disk, with its filesystem"


def _partitions(partitions: Sequence[Partition]) -> Lines:
    width = max(len(partition.label) for partition in partitions)
    total = weights(partitions)
    for partition in partitions:
        said = [size(partition, total), use(partition)]
        if partition.preserve:
            said = ["must be there already, and is never written", holding(partition)]
        if partition.priority:
            said.append(f"left out when the disk is too small (priority {partition.priority})")
        yield f"  {partition.label:<{width}}  {'; '.join(filter(None, said))}"


def _arrays(arrays: Sequence[Raid]) -> Lines:
    for array in arrays:
        spares = f", the last {array.spares} as spares" if array.spares else ""
        devices = ", ".join(array.devices)
        said = [f"RAID{array.level} of every {devices}{spares}", holding(array)]
        yield f"array {array.name}: {'; '.join(filter(None, said))}"


def _sealed(volumes: Sequence[Luks]) -> Lines:
    for volume in volumes:
        where = "the server keeps" if volume.key == "server" else "the node's TPM2 gives out"
        said = [f"{volume.device} encrypted, with a key that {where}{_bound(volume)}"]
        said.append(holding(volume))
        yield f"LUKS volume {volume.name}: {'; '.join(filter(None, said))}"


def _bound(volume: Luks) -> str:
    if volume.tpm2_pcrs is None:
        return ""
    pcrs = " and ".join(map(str, volume.tpm2_pcrs))
    return f" while PCR {pcrs} are as they were" if pcrs else " whatever is started"


def _logical(volume: LogicalVolume, total: int) -> str:
    if volume.pool:
        said = [f"seems to have {volume.size}, taken from {volume.pool} as it is written"]
    else:
        said = [size(volume, total)]
    return f"volume {volume.name}: {'; '.join(filter(None, [*said, holding(volume)]))}"


def weights(wishes: Sequence[Sized | ThinPool]) -> int:
    """The sum by which what is left over is shared."""
    return sum(wish.weight or 1 for wish in wishes if not wish.size)


def size(wish: Sized | ThinPool, total: int) -> str:
    """`total` is the sum of the weights that take part."""
    if wish.size:
        return f"{wish.size} of all the room" if wish.size.endswith("%") else wish.size
    bounds = [f"at least {wish.size_min}"] if wish.size_min else []
    bounds += [f"at most {wish.size_max}"] if wish.size_max else []
    weight = wish.weight or 1
    share = "all that is left over" if weight == total else f"{weight} of {total} parts of the rest"
    return ", ".join([share, *bounds])


def use(partition: Partition) -> str:
    """What a partition is for: its filesystem, or what is built on it."""
    match partition.type:
        case "raid" | "lvm" | "luks":
            return f"for {'md' if partition.type == 'raid' else partition.type.upper()}"
        case "bios-boot":
            return "for GRUB on BIOS"
        case _:
            return holding(partition)


def holding(holder: Holder) -> str:
    """The filesystem and where it is mounted."""
    form = format_of(holder)
    if form is None:
        return ""
    mounts = [(holder.mount, "", holder.mount_options)] if holder.mount else []
    mounts += [(sub.mount, f"{sub.name} ", sub.mount_options) for sub in holder.subvolumes]
    said = [
        f"{name}at {mount}" if options == "defaults" else f"{name}at {mount} ({options})"
        for mount, name, options in mounts
        if mount
    ]
    return " ".join([form, ", ".join(said)]).strip()
