# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be true of a layout before any disk is known; types and names were checked by decoding.

Here are disks, partitions and filesystems; layoutstack.py has what lies between them.
"""

import re
from collections.abc import Iterator

from swarmstrap.errors import BadInput
from swarmstrap.hints import parse_match
from swarmstrap.layout import (
    DiskLayout,
    Format,
    Holder,
    Layout,
    LogicalVolume,
    Luks,
    Partition,
    Raid,
    holders,
    kind,
)
from swarmstrap.layoutstack import check_stack
from swarmstrap.layoutwords import (
    at,
    check_label,
    check_mount,
    check_shares,
    check_sizes,
    check_subvolume_name,
    contradiction,
    once,
)
from swarmstrap.manifest import Manifest
from swarmstrap.partitioning import BIOS_BOOT

# A GPT holds 128 entries (UEFI 2.10, 5.3.3), one of them for GRUB; an MBR has four.
MOST_PARTITIONS = {"gpt": 127, "msdos": 4}
# As the planner counts disks that are alike.
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_KERNEL_ARGUMENTS = re.compile(r"[A-Za-z0-9_.,=:/@+%~ -]*")


def format_of(holder: Holder) -> Format | None:
    """The filesystem of a holder: as written, or the one that a partition's type stands for."""
    implied: dict[str, Format] = {"esp": "vfat", "swap": "swap"}
    return holder.format or (implied.get(holder.type) if isinstance(holder, Partition) else None)


def check_layout(layout: Layout) -> None:
    """Raises BadInput, with what is at fault, when no node could have `layout`."""
    _check_ids(layout)
    if not _KERNEL_ARGUMENTS.fullmatch(layout.kernel_arguments):
        raise BadInput(
            f"kernel_arguments: {layout.kernel_arguments!r} has characters that a boot loader "
            "would interpret",
            hint="use letters, digits and . , : = / @ + % ~ _ -",
        )
    for disk in layout.disks:
        with at(f"disk {disk.id}"):
            _check_disk(disk)
    for place, holder in holders(layout):
        with at(place):
            _check_holder(holder)
    if kind(layout) == "disk":
        _check_for_disk_image(layout)
    else:
        _check_for_tree(layout)
        check_stack(layout)


def _check_ids(layout: Layout) -> None:
    """Ids are what UUIDs are derived from; disks that are alike have theirs with a number."""
    once("disk id", (disk.id for disk in layout.disks))
    counts = {disk.id: disk.count for disk in layout.disks if disk.count > 1}
    for disk in layout.disks:
        name, _, number = disk.id.rpartition("-")
        alike = counts.get(name, 0)
        if disk.count == 1 and _NUMBER.fullmatch(number) and int(number) <= alike:
            raise BadInput(
                f"disk id {disk.id} is that of one of the {alike} disks of {name}",
                hint="give it an id that does not end in a number",
            )


def check_fits(layout: Layout, manifest: Manifest) -> None:
    """Raises BadInput for the layout of one kind of image and an image of the other, and for a
    volume that the image could not open.
    """
    if kind(layout) == manifest.kind:
        _check_unlocked(layout, manifest)
        return
    image = f"image {manifest.name} {manifest.version}"
    if manifest.kind == "disk":
        raise BadInput(
            f"{image} is a whole disk, and the layout makes partitions",
            hint="deploy it with a layout that names one disk and no partitions",
        )
    raise BadInput(
        f"{image} is a tree of files, and the layout makes no partitions",
        hint="deploy it with a layout that gives its disks partitions",
    )


def _check_unlocked(layout: Layout, manifest: Manifest) -> None:
    for volume in layout.luks:
        if volume.key == "tpm2" and not manifest.facts.tpm2_unlocker:
            raise BadInput(
                f"luks {volume.name}: the initramfs of image {manifest.name} {manifest.version} "
                "asks no TPM2",
                hint="install dracut and tpm2-tools, or clevis-initramfs and clevis-tpm2, and "
                "capture it again; or write `key: server`",
            )


def _check_for_tree(layout: Layout) -> None:
    for disk in layout.disks:
        if not disk.partitions:
            raise BadInput(f"disk {disk.id}: no partitions", hint="write some, or leave it out")
    mounts = list(_mounts(layout))
    once("mount", mounts)
    if "/" not in mounts:
        raise BadInput("nothing is mounted at /", hint="give a filesystem `mount: /`")


def _mounts(layout: Layout) -> Iterator[str]:
    """Where anything is mounted; ESPs of several disks stand in for each other, and count once."""
    systems = set()
    for _, holder in holders(layout):
        if isinstance(holder, Partition) and holder.type == "esp":
            systems.add(holder.mount)
            continue
        yield from (subvolume.mount for subvolume in holder.subvolumes if subvolume.mount)
        if holder.mount:
            yield holder.mount
    yield from systems
    if len(systems) > 1:
        raise BadInput(
            f"ESPs are mounted at {' and '.join(sorted(systems))}",
            hint="mount them alike: they stand in for each other",
        )


def _check_for_disk_image(layout: Layout) -> None:
    if len(layout.disks) != 1:
        raise BadInput(
            f"disks: {len(layout.disks)} without partitions",
            hint="name one for a disk image, or give every disk its partitions",
        )
    given = {
        "bootloader": layout.bootloader,
        "kernel_arguments": layout.kernel_arguments,
        "raid": layout.raid,
        "luks": layout.luks,
        "volume_groups": layout.volume_groups,
        "count": layout.disks[0].count > 1,
    }
    for key, value in given.items():
        if value:
            raise BadInput(f"{key}: a disk image has its own", hint=f"remove {key} of this layout")


def _check_disk(disk: DiskLayout) -> None:
    parse_match(disk.match)
    if disk.count < 1:
        raise BadInput(f"count: {disk.count}", hint="write how many disks there are to be")
    if not disk.partitions:
        return
    if disk.unused is not None or disk.grow is not None:
        raise BadInput("unused and grow are for disk images", hint="remove them, or the partitions")
    once("label", (partition.label for partition in disk.partitions))
    most = MOST_PARTITIONS[disk.ptable]
    if len(disk.partitions) > most:
        raise BadInput(f"{len(disk.partitions)} partitions", hint=f"write {most} at most")
    if sum(partition.type == "esp" for partition in disk.partitions) > 1:
        raise BadInput("two partitions of type esp", hint="firmware looks for one on a disk")
    for partition in disk.partitions:
        with at(f"partition {partition.label}"):
            _check_partition(partition)
            _check_on_disk(partition, disk)
    # What may be dropped, or has its size already, needs no share.
    check_shares(p for p in disk.partitions if not (p.priority or p.preserve))


def _check_partition(partition: Partition) -> None:
    check_label(partition.label)
    check_sizes(partition)
    form = format_of(partition)
    if partition.priority < 0:
        raise BadInput("weight and priority count from 0", hint="write a whole number")
    if partition.priority and (partition.preserve or "/" in _places(partition)):
        what = "is to be preserved" if partition.preserve else "holds /"
        contradiction(f"{what} and may be dropped", "no priority")
    if partition.type == "esp" and (form != "vfat" or not partition.mount):
        contradiction("is an ESP", "format: vfat and mount: /boot/efi")
    if (partition.type == "swap") != (form == "swap"):
        contradiction("is swap", "type: swap and format: swap")
    if partition.type == "bios-boot" and form:
        contradiction("holds boot code", "no format")
    if partition.type in ("raid", "lvm", "luks") and form:
        contradiction(f"is of type {partition.type} and holds a filesystem", "no format")
    if partition.label == BIOS_BOOT.label and partition.type != BIOS_BOOT.type:
        contradiction("has a label that is taken", f"type: {BIOS_BOOT.type}, or another label")


def _check_on_disk(partition: Partition, disk: DiskLayout) -> None:
    if partition.type == "bios-boot" and disk.ptable == "msdos":
        contradiction("is for GRUB on a GPT", "ptable: gpt; on an MBR GRUB needs none")
    if disk.count > 1 and partition.type != "esp" and any(_places(partition)):
        contradiction(
            f"is mounted, and on {disk.count} disks", "an array of them, which is mounted instead"
        )
    if partition.preserve:
        if disk.count > 1:
            contradiction("is to be preserved on several disks", "a disk entry for each")
        if partition.type in ("esp", "bios-boot") or {"/", "/boot"} & _places(partition):
            contradiction("is to be preserved, and every deployment writes it", "preserve: false")


def _check_holder(holder: Holder) -> None:
    """What a partition, an array, a LUKS volume and a logical volume have in common."""
    form = format_of(holder)
    check_mount(holder.mount, holder.mount_options)
    if any(_places(holder)) and form in (None, "swap"):
        what = f"is mounted at {min(_places(holder))}"
        contradiction(what, "format: ext4, xfs, btrfs or vfat")
    if "/" in _places(holder) and form == "vfat":
        contradiction("holds / on vfat", "format: ext4, xfs or btrfs")
    if isinstance(holder, Raid | Luks | LogicalVolume) and form == "vfat":
        contradiction("is vfat, which is for firmware", "format: ext4, xfs or btrfs")
    if not holder.subvolumes:
        return
    if form != "btrfs" or holder.mount:
        contradiction("has subvolumes", "format: btrfs, and is mounted by them alone")
    once("subvolume", (subvolume.name for subvolume in holder.subvolumes))
    for subvolume in holder.subvolumes:
        with at(f"subvolume {subvolume.name}"):
            check_subvolume_name(subvolume.name)
            check_mount(subvolume.mount, subvolume.mount_options)


def _places(holder: Holder) -> set[str]:
    mounts = (holder.mount, *(subvolume.mount for subvolume in holder.subvolumes))
    return {mount for mount in mounts if mount}
