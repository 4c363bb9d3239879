# SPDX-License-Identifier: GPL-2.0-or-later
"""Filesystems of the new system: making them, mounting them as one tree, taking it down."""

from pathlib import Path
from typing import assert_never

from swarmstrap.effects.disks import volumes
from swarmstrap.effects.disks.mounts import mount_points, sync
from swarmstrap.effects.run import run
from swarmstrap.effects.system.chroot import inside
from swarmstrap.steps.storage import MakeFilesystem, MakeSubvolumes, MountVolume

TARGET = Path("/run/swarmstrap/target")
SUBVOLUMES = Path("/run/swarmstrap/subvolumes")

# FAT is FAT32 from 65,525 clusters on (fatgen103), and a cluster is a sector at least.
_FAT32_SECTORS = 67_000
_MKFS_SECONDS = 900.0
_MOUNT_SECONDS = 120.0
_FLUSH_SECONDS = 1800.0


def make(step: MakeFilesystem) -> None:
    """Blocking; up to minutes on a slow disk of many TB."""
    node = volumes.node(step.volume)
    # mkfs.vfat does not look at the end, where arrays and pools have their marks.
    volumes.clear(node)
    run(mkfs_arguments(step, node), timeout=_MKFS_SECONDS)


def mkfs_arguments(step: MakeFilesystem, node: str) -> list[str]:
    """The command that makes the filesystem. Labels are cut to what each kind can hold."""
    match step.format:
        case "ext4":
            # GRUB and kernels of the image may be older than this mkfs: without the features
            # that GRUB 2.06 refuses. Tables that are all zero are written after the first boot.
            features = "64bit,metadata_csum,^metadata_csum_seed,^orphan_file"
            lazy = "lazy_itable_init=1,lazy_journal_init=1"
            command = ["mkfs.ext4", "-q", "-F", "-O", features, "-E", lazy]
            return [*command, "-U", step.uuid, "-L", step.label[:16], node]
        case "xfs":
            # GRUB 2.06 does not know large extent counters either.
            command = ["mkfs.xfs", "-q", "-f", "-i", "nrext64=0", "-m", f"uuid={step.uuid}"]
            return [*command, "-L", step.label[:12], node]
        case "vfat":
            width = "32" if step.sectors >= _FAT32_SECTORS else "16"
            volume_id = step.uuid.replace("-", "")
            label = step.label[:11].upper()
            return ["mkfs.vfat", "-F", width, "-i", volume_id, "-n", label, node]
        case "btrfs":
            return ["mkfs.btrfs", "-q", "-f", "-U", step.uuid, "-L", step.label, node]
        case "swap":
            return ["mkswap", "--force", "--uuid", step.uuid, "--label", step.label[:15], node]
        case _:
            assert_never(step.format)


def make_subvolumes(step: MakeSubvolumes, point: Path = SUBVOLUMES) -> None:
    """Blocking. `point` is where the btrfs is mounted meanwhile."""
    point.mkdir(parents=True, exist_ok=True)
    node = volumes.node(step.volume)
    run(["mount", "-t", "btrfs", node, point], timeout=_MOUNT_SECONDS)
    try:
        for name in step.names:
            path = inside(point, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            run(["btrfs", "subvolume", "create", path], timeout=_MOUNT_SECONDS)
    finally:
        run(["umount", point], timeout=_FLUSH_SECONDS)


def mount(step: MountVolume, root: Path = TARGET) -> None:
    """Mount one volume of the tree below `root`, making the directory it goes on."""
    node = volumes.node(step.volume)
    target = inside(root, step.target)
    target.mkdir(parents=True, exist_ok=True)
    run(
        ["mount", "-t", step.format, "-o", step.options, node, target],
        timeout=_MOUNT_SECONDS,
    )


def settle(root: Path = TARGET) -> None:
    """Everything reaches the disks; nothing is mounted at `root` or below any more."""
    sync(root)
    unmount(root)


def unmount(root: Path = TARGET) -> None:
    """Take the tree down, children first. Raises StepFailed naming what stays busy."""
    for point in reversed(mount_points(root)):
        run(["umount", point], timeout=_FLUSH_SECONDS)


def release(root: Path = TARGET) -> None:
    """After a failure: the tree is gone from sight at once, and from the disk when unused."""
    for point in reversed(mount_points(root)):
        run(["umount", "--lazy", point], timeout=_MOUNT_SECONDS, check=False)
