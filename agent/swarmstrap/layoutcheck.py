# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be true of a layout before any disk is known; types and names were checked by decoding.

Values that end in fstab, in a boot loader's script or on a kernel command line are validated
here, and only then pasted.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NoReturn

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.hints import parse_match
from swarmstrap.layout import DiskLayout, Format, Layout, Partition, kind
from swarmstrap.manifest import Manifest
from swarmstrap.partitioning import BIOS_BOOT
from swarmstrap.units import parse_size

# A GPT holds 128 entries and 36 UTF-16 units of name in each (UEFI 2.10, 5.3.3).
MOST_PARTITIONS = 128
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
_MOUNT = re.compile(r"/(?:[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*)?")
_OPTIONS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=:/%+-]*")
_KERNEL_ARGUMENTS = re.compile(r"[A-Za-z0-9_.,:=/@+%~ -]*")


def format_of(partition: Partition) -> Format | None:
    """The filesystem of a partition: as written, or the one that its type stands for."""
    implied: dict[str, Format] = {"esp": "vfat", "swap": "swap"}
    return partition.format or implied.get(partition.type)


def check_layout(layout: Layout) -> None:
    """Raises BadInput, with the disk and partition at fault, when no node could have `layout`."""
    _once("disk id", (disk.id for disk in layout.disks))
    if not _KERNEL_ARGUMENTS.fullmatch(layout.kernel_arguments):
        raise BadInput(
            f"kernel_arguments: {layout.kernel_arguments!r} has characters that a boot loader "
            "would interpret",
            hint="use letters, digits and . , : = / @ + % ~ _ -",
        )
    for disk in layout.disks:
        try:
            _check_disk(disk)
        except SwarmstrapError as error:
            raise BadInput(f"disk {disk.id}: {error.message}", hint=error.hint) from error
    if kind(layout) == "disk":
        _check_for_disk_image(layout)
    else:
        _check_for_tree(layout)


def check_fits(layout: Layout, manifest: Manifest) -> None:
    """Raises BadInput for the layout of one kind of image and an image of the other."""
    if kind(layout) == manifest.kind:
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


def _check_for_tree(layout: Layout) -> None:
    for disk in layout.disks:
        if not disk.partitions:
            raise BadInput(f"disk {disk.id}: no partitions", hint="write some, or leave it out")
    mounts = [p.mount for disk in layout.disks for p in disk.partitions if p.mount]
    _once("mount", mounts)
    if "/" not in mounts:
        raise BadInput("no partition is mounted at /", hint="give one `mount: /`")


def _check_for_disk_image(layout: Layout) -> None:
    if len(layout.disks) != 1:
        raise BadInput(
            f"disks: {len(layout.disks)} without partitions",
            hint="name one for a disk image, or give every disk its partitions",
        )
    if layout.kernel_arguments:
        raise BadInput(
            "kernel_arguments: a disk image has its own", hint="remove them from this layout"
        )


def _check_disk(disk: DiskLayout) -> None:
    parse_match(disk.match)
    if not disk.partitions:
        return
    if disk.unused is not None or disk.grow is not None:
        raise BadInput("unused and grow are for disk images", hint="remove them, or the partitions")
    _once("label", (partition.label for partition in disk.partitions))
    if len(disk.partitions) >= MOST_PARTITIONS:
        raise BadInput(
            f"{len(disk.partitions)} partitions", hint=f"write {MOST_PARTITIONS - 1} at most"
        )
    for partition in disk.partitions:
        try:
            _check_names(partition)
            _check_sizes(partition)
            _check_use(partition)
        except SwarmstrapError as error:
            raise BadInput(
                f"partition {partition.label}: {error.message}", hint=error.hint
            ) from error


def _check_names(partition: Partition) -> None:
    if not _LABEL.fullmatch(partition.label):
        raise BadInput("not a label", hint="use 1 to 36 letters, digits and . _ -")
    if partition.mount and not _MOUNT.fullmatch(partition.mount):
        raise BadInput(
            f"mount: {partition.mount!r} cannot be used", hint="write it like /var or /boot/efi"
        )
    if not _OPTIONS.fullmatch(partition.mount_options):
        raise BadInput(
            f"mount_options: {partition.mount_options!r} cannot be used",
            hint="separate options by commas, without blanks",
        )


def _check_sizes(partition: Partition) -> None:
    if partition.size and (partition.size_min or partition.size_max or partition.weight):
        raise BadInput(
            "size fixes what size_min, size_max and weight would leave open",
            hint="remove size, or the others",
        )
    if partition.weight < 0 or partition.priority < 0:
        raise BadInput("weight and priority count from 0", hint="write a whole number")
    given = [partition.size, partition.size_min, partition.size_max]
    sizes = [parse_size(text) for text in given if text]
    if 0 in sizes:
        raise BadInput("a size is 0", hint="leave the partition out, or give it room")
    if any(low > high for low, high in pairwise(sizes)):
        raise BadInput("size_min is above size_max", hint="swap them")


def _check_use(partition: Partition) -> None:
    form = format_of(partition)
    if partition.mount and form in (None, "swap"):
        _contradiction(f"is mounted at {partition.mount}", "format: ext4, xfs or vfat")
    if partition.mount == "/" and form == "vfat":
        _contradiction("holds / on vfat", "format: ext4 or xfs")
    if partition.mount == "/" and partition.priority:
        _contradiction("holds / and may be dropped", "no priority")
    if partition.type == "esp" and (form != "vfat" or not partition.mount):
        _contradiction("is an ESP", "format: vfat and mount: /boot/efi")
    if (partition.type == "swap") != (form == "swap"):
        _contradiction("is swap", "type: swap and format: swap")
    if partition.type == "bios-boot" and form:
        _contradiction("holds boot code", "no format")
    if partition.label == BIOS_BOOT.label and partition.type != BIOS_BOOT.type:
        _contradiction("has a label that is taken", f"type: {BIOS_BOOT.type}, or another label")


def _contradiction(what: str, needed: str) -> NoReturn:
    raise BadInput(what, hint=f"such a partition needs {needed}")


def _once(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise BadInput(f"{what} {value} is there twice", hint="give each its own")
        seen.add(value)
