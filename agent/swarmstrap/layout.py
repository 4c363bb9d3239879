# SPDX-License-Identifier: GPL-2.0-or-later
"""Layout: what an operator wants on the disks, in words of Ironic, curtin, repart and Ignition."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from swarmstrap.manifest import ImageKind

PartitionType = Literal[
    "esp", "bios-boot", "root", "swap", "home", "var", "srv", "linux", "raid", "lvm", "luks"
]
Format = Literal["vfat", "ext4", "xfs", "btrfs", "swap"]
Table = Literal["gpt", "msdos"]
Prefer = Literal["smallest", "largest"]
Wipe = Literal["empty-only", "ordinary", "anything"]
Unused = Literal["discard", "zero", "keep"]
RaidLevel = Literal[0, 1, 4, 5, 6, 10]
RaidMetadata = Literal["1.0", "1.1", "1.2"]
KeySource = Literal["server", "tpm2"]
Bootloader = Literal["grub", "systemd-boot"]


class Subvolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A subvolume of a btrfs, as in `@home`, and where it is mounted."""

    name: str
    mount: str = ""
    mount_options: str = "defaults"


class Holder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may hold a filesystem. One with `subvolumes` is mounted by them, and not itself."""

    format: Format | None = None
    mount: str = ""
    mount_options: str = "defaults"
    subvolumes: tuple[Subvolume, ...] = ()


class Sized(Holder, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sizes are text with a unit, or `25%` of all the room; `weight` shares what is left."""

    size: str = ""
    size_min: str = ""
    size_max: str = ""
    weight: int = 0


class Partition(Sized, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A partition with a `priority` above zero is dropped, highest first, when the disk is too
    small for all minimums. One to `preserve` must be there, and is never written.
    """

    label: str
    type: PartitionType
    priority: int = 0
    preserve: bool = False


class DiskLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As many disks as `count` says, partitioned alike: `match` must fit exactly those, unless
    `prefer` makes the choice explicit.

    `wipe: empty-only` refuses a disk that carries any signature; `ordinary` replaces tables and
    filesystems, but no member of an array, of a volume group or of a pool; `anything` replaces
    those too. A disk without partitions takes a disk image. `unused` is what becomes of the room
    that the image does not use, `grow` whether its last partition takes what the disk has more.
    """

    id: str
    partitions: tuple[Partition, ...] = ()
    match: dict[str, str | int | bool] = {}
    prefer: Prefer | None = None
    count: int = 1
    ptable: Table = "gpt"
    wipe: Wipe = "empty-only"
    unused: Unused | None = None
    grow: bool | None = None


class Raid(Holder, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An MD array. `devices` are labels of partitions, each standing for those of all disks that
    have it; the last `spares` of them stand by.
    """

    name: str
    level: RaidLevel
    devices: tuple[str, ...]
    spares: int = 0
    metadata: RaidMetadata = "1.2"


class Luks(Holder, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A LUKS2 volume, opened as `name`; the server keeps a secret for it, and with the `key` tpm2
    the node's TPM2 gives out another one, while its PCRs `tpm2_pcrs` are as they were.
    """

    name: str
    device: str
    key: KeySource = "server"
    tpm2_pcrs: tuple[int, ...] | None = None


class ThinPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pool of a volume group, from which volumes take room as they are written."""

    name: str
    size: str = ""
    size_min: str = ""
    size_max: str = ""
    weight: int = 0


class LogicalVolume(Sized, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A volume of a group; in a `pool` it is thin, and its `size` is only what it seems to have."""

    name: str
    pool: str = ""


class VolumeGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An LVM volume group on partitions, arrays or LUKS volumes."""

    name: str
    devices: tuple[str, ...]
    volumes: tuple[LogicalVolume, ...] = ()
    pools: tuple[ThinPool, ...] = ()


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All disks of one node that Swarmstrap may write; every other disk stays untouched.

    What lies on the partitions refers to what is below by label or name, in any order.
    """

    disks: tuple[DiskLayout, ...]
    raid: tuple[Raid, ...] = ()
    luks: tuple[Luks, ...] = ()
    volume_groups: tuple[VolumeGroup, ...] = ()
    bootloader: Bootloader | None = None
    kernel_arguments: str = ""


def kind(layout: Layout) -> ImageKind:
    """Which kind of image the layout is for."""
    return "tree" if any(disk.partitions for disk in layout.disks) else "disk"


def holders(layout: Layout) -> Iterator[tuple[str, Holder]]:
    """Everything that may hold a filesystem, each with how messages call it."""
    for disk in layout.disks:
        for partition in disk.partitions:
            yield f"disk {disk.id}: partition {partition.label}", partition
    for array in layout.raid:
        yield f"raid {array.name}", array
    for volume in layout.luks:
        yield f"luks {volume.name}", volume
    for group in layout.volume_groups:
        for logical in group.volumes:
            yield f"volume group {group.name}: volume {logical.name}", logical
