# SPDX-License-Identifier: GPL-2.0-or-later
"""Layout: what an operator wants on the disks, in words of Ironic, curtin and repart.d."""

from typing import Literal

import msgspec

from swarmstrap.manifest import ImageKind
from swarmstrap.units import Bytes, parse_size

PartitionType = Literal["esp", "bios-boot", "root", "swap", "home", "var", "srv", "linux"]
Format = Literal["vfat", "ext4", "xfs", "swap"]
Prefer = Literal["smallest", "largest"]
Wipe = Literal["empty-only", "anything"]
Unused = Literal["discard", "zero", "keep"]


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One partition. Sizes are text with a unit; `weight` shares what is left; a partition with a
    `priority` above zero is dropped, highest first, when the disk is too small for all minimums.
    """

    label: str
    type: PartitionType
    size: str = ""
    size_min: str = ""
    size_max: str = ""
    weight: int = 0
    priority: int = 0
    format: Format | None = None
    mount: str = ""
    mount_options: str = "defaults"


class DiskLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One disk: `match` must fit exactly one disk, unless `prefer` makes the choice explicit.

    `wipe: empty-only` refuses a disk that carries any signature; `anything` replaces it.
    A disk without partitions takes a disk image. `unused` is what becomes of the room that the
    image does not use, `grow` whether its last partition takes what the disk has more.
    """

    id: str
    partitions: tuple[Partition, ...] = ()
    match: dict[str, str | int | bool] = {}
    prefer: Prefer | None = None
    wipe: Wipe = "empty-only"
    unused: Unused | None = None
    grow: bool | None = None


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All disks of one node that Swarmstrap may write; every other disk stays untouched."""

    disks: tuple[DiskLayout, ...]
    kernel_arguments: str = ""


def kind(layout: Layout) -> ImageKind:
    """Which kind of image the layout is for."""
    return "tree" if any(disk.partitions for disk in layout.disks) else "disk"


def minimum(partition: Partition) -> Bytes:
    """The least that `partition` needs: its size, or its size_min, or 1 MiB."""
    return parse_size(partition.size or partition.size_min or "1MiB")
