# SPDX-License-Identifier: GPL-2.0-or-later
"""What GRUB has to know to find /boot. Pure."""

from typing import assert_never

from swarmstrap.placing import PlacedVolume
from swarmstrap.volumes import ArrayVolume, CryptVolume, LogicalVolume, PartitionVolume

TARGETS = {
    ("bios", "x86_64"): "i386-pc",
    ("uefi", "x86_64"): "x86_64-efi",
    ("uefi", "aarch64"): "arm64-efi",
}
_FILESYSTEMS = {"ext4": "ext2", "xfs": "xfs", "vfat": "fat", "btrfs": "btrfs"}


def grub_modules(boot: PlacedVolume) -> tuple[str, ...]:
    """What reads the volume that /boot is on. Its core, or what is signed, has them already when
    it got as far as grub.cfg; one that booted from elsewhere may not.
    """
    match boot.volume:
        case PartitionVolume():
            below: tuple[str, ...] = ()
        case ArrayVolume():
            below = ("mdraid1x", "raid5rec", "raid6rec")
        case LogicalVolume():
            below = ("mdraid1x", "lvm")
        case CryptVolume():
            below = ("luks2",)
        case _:
            assert_never(boot.volume)
    filesystem = _FILESYSTEMS[boot.format] if boot.format in _FILESYSTEMS else "ext2"
    return ("part_gpt", "part_msdos", *below, filesystem)


def esp_cfg(boot: PlacedVolume, folder: str) -> str:
    """The grub.cfg that a signed GRUB finds on the ESP: `folder` is that of the real one, as GRUB
    sees it on `boot`. All commands are ones that such a GRUB has built in.
    """
    return f"""\
search.fs_uuid {boot.uuid} root
set prefix=($root)'{folder}'
configfile $prefix/grub.cfg
"""
