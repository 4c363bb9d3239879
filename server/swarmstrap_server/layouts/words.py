# SPDX-License-Identifier: GPL-2.0-or-later
"""What every key of a layout means, in one sentence: for the docs, for editors, for `explain`.

Kept apart from the types, for those ride into every initramfs. A test holds both together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from swarmstrap.layout import (
    DiskLayout,
    Holder,
    Layout,
    LogicalVolume,
    Luks,
    Partition,
    Raid,
    Sized,
    Subvolume,
    ThinPool,
    VolumeGroup,
)

Struct = type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Word:
    """`without` says what holds where the key is left out and its default does not."""

    meaning: str
    without: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a struct, with its type and its word; `default` as decoded."""

    key: str
    type: msgspec.inspect.Type
    required: bool
    default: object
    word: Word


# Each struct with the words of the keys that it adds to those of its bases.
WORDS: Mapping[Struct, Mapping[str, Word]] = {
    Layout: {
        "disks": Word("the disks to write, in the order in which they are chosen"),
        "raid": Word("MD arrays on partitions"),
        "luks": Word("encrypted volumes on partitions, arrays or logical volumes"),
        "volume_groups": Word("LVM on partitions, arrays or LUKS volumes"),
        "bootloader": Word(
            "which of the image's boot loaders starts it", without="any that the firmware starts"
        ),
        "kernel_arguments": Word("for the installed system, before those of the node"),
    },
    DiskLayout: {
        "id": Word("a word of your own, for messages"),
        "match": Word("hints that the disk must fit, all of them", without="any disk"),
        "prefer": Word(
            "the choice when more disks fit than are wanted. Without it they stop the node; a tie "
            "always does"
        ),
        "count": Word("so many disks are taken, and partitioned alike"),
        "ptable": Word("the partition table; `msdos` is for firmware that cannot start from a GPT"),
        "wipe": Word(
            "what may be replaced. `empty-only`: nothing, any signature stops the node. "
            "`ordinary`: tables and filesystems, but no member of an array, group or pool. "
            "`anything`: those too"
        ),
        "partitions": Word(
            "in the order of the disk. Without any the disk takes an image of a whole disk"
        ),
        "unused": Word(
            "of a disk image: the room that it does not use is discarded, filled with zeros or "
            "left as it is",
            without="`discard`",
        ),
        "grow": Word(
            "of a disk image: a GPT's second copy moves to the end of a larger disk, and the last "
            "partition grows up to it, with its filesystem",
            without="`true`",
        ),
    },
    Holder: {
        "format": Word(
            "the filesystem to make; an ESP is `vfat` and swap is `swap` without a word",
        ),
        "mount": Word("an absolute path of the installed system; one place has `/`"),
        "mount_options": Word("for fstab"),
        "subvolumes": Word("of a btrfs; it is then mounted by them, and not itself"),
    },
    Sized: {
        "size": Word(
            "exactly this, or `25%` of all the room; the next three are for those without",
            without="shared",
        ),
        "size_min": Word("at least this", without="1 MiB"),
        "size_max": Word("at most this", without="no end"),
        "weight": Word("what is left over is shared by weight", without="1"),
    },
    Partition: {
        "label": Word(
            "its name in a GPT, and of the filesystem: at most 36 letters, digits and `.` `_` `-`"
        ),
        "type": Word("what it is for; becomes the type in the table"),
        "priority": Word(
            "above 0: left out, highest first, when the disk is too small for every minimum"
        ),
        "preserve": Word("must be there as described, is mounted and never written"),
    },
    Subvolume: {
        "name": Word("as in `@home`"),
        "mount": Word("an absolute path of the installed system; one place has `/`"),
        "mount_options": Word("for fstab"),
    },
    Raid: {
        "name": Word("of the array, below /dev/md"),
        "level": Word("of redundancy"),
        "devices": Word(
            "labels of partitions; each stands for those of all disks that have it, so that "
            "`count: 2` makes a mirror of one label"
        ),
        "spares": Word("so many of the devices, the last ones, stand by"),
        "metadata": Word(
            "where the superblock lies: `1.0` at the end, so that a reader who knows no arrays "
            "sees the filesystem"
        ),
    },
    Luks: {
        "name": Word("as which it is opened, below /dev/mapper"),
        "device": Word("label of a partition, name of an array, or `group/volume` of LVM"),
        "key": Word(
            "who gives it out at a start: a person, who has it from the server, or the node's own "
            "TPM2. The server makes and keeps one for each node in either case"
        ),
        "tpm2_pcrs": Word(
            "with `key: tpm2`: PCRs that must be as they were, of 0, 2, 3 and 7; `[]` for none",
            without="`[7]` with Secure Boot on, `[]` with it off",
        ),
    },
    VolumeGroup: {
        "name": Word("of the group"),
        "devices": Word("labels of partitions, names of arrays or of LUKS volumes"),
        "volumes": Word("its logical volumes"),
        "pools": Word("thin pools, from which volumes take room as they are written"),
    },
    LogicalVolume: {
        "name": Word("of the volume"),
        "pool": Word("a pool of the group: the volume is thin, and `size` what it seems to have"),
    },
    ThinPool: {
        "name": Word("of the pool"),
        "size": Word("exactly this, or `25%` of all the room of the group", without="shared"),
        "size_min": Word("at least this", without="1 MiB"),
        "size_max": Word("at most this", without="no end"),
        "weight": Word("what is left over is shared by weight", without="1"),
    },
}

# How a reader calls one of them.
NAMES: Mapping[Struct, str] = {
    Layout: "a layout",
    DiskLayout: "a disk",
    Partition: "a partition",
    Subvolume: "a subvolume",
    Raid: "an array",
    Luks: "a LUKS volume",
    VolumeGroup: "a volume group",
    LogicalVolume: "a logical volume",
    ThinPool: "a thin pool",
}

# The keys of `match`, which is a mapping and no struct: those of swarmstrap.hints.
MATCH: Mapping[str, str] = {
    "size": "of the disk, with a unit",
    "rotational": "`true` or `false`",
    "model": "what the disk says of itself",
    "vendor": "what the disk says of itself",
    "serial": "what the disk says of itself",
    "wwn": "what the disk says of itself",
    "tran": "the bus: `nvme`, `sata`, `sas`, `virtio`, `usb` and so on",
    "hctl": "where it is attached, as `lsblk` shows it",
    "by_path": "where it is attached: its link below /dev/disk/by-path",
    "name": "a link below /dev, as in `/dev/disk/by-id/...`. Never `sda`: that may be another disk "
    "after the next boot",
}


def fields(kind: Struct) -> Iterator[Field]:
    """The keys of `kind`, its own before those of its bases: what tells it apart comes first."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    found = {field.encode_name: field for field in info.fields}
    for base in kind.__mro__:
        for key, word in WORDS.get(base, {}).items():
            if (field := found.pop(key, None)) is not None:
                given = field.default
                if given is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
                    given = field.default_factory()
                yield Field(key, field.type, field.required, given, word)
