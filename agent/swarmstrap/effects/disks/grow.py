# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk image's partition table and last filesystem come to fit a larger disk. Blocking."""

import shutil
from pathlib import Path

from swarmstrap.effects.disks.claim import claimed, read_table_again
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.steps.storage import GrowDisk
from swarmstrap.units import Bytes, to_sectors
from swarmstrap.volumes import DiskId

_TABLE_SECONDS = 60.0
_RESIZE_SECONDS = 1800.0
_MOUNT_SECONDS = 120.0
# e2fsck found errors and corrected all of them.
_CORRECTED = 1
_PLACE = Path("/run/swarmstrap/growing")


def grow(step: GrowDisk) -> list[str]:
    """Warnings about what stays as small as it was."""
    node = udev.find(step.disk)
    grow_table(node, step)
    udev.settle()
    growth = step.growth
    if growth is None:
        return []
    if growth.number:
        node = udev.part_node(step.disk, growth.number, growth.start, growth.size)
    return grow_filesystem(node, growth.filesystem)


def grow_table(node: str, step: GrowDisk) -> None:
    with claimed(node) as disk:
        for command, line in table_commands(step.disk, node, step):
            run(command, stdin=line.encode(), timeout=_TABLE_SECONDS)
        read_table_again(disk, node)


def table_commands(disk: DiskId, node: str, step: GrowDisk) -> list[tuple[list[str], str]]:
    """Each with its input. sfdisk leaves every word of an entry alone that is not said."""
    sfdisk = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never"]
    commands = []
    if step.table == "gpt":
        commands.append(([*sfdisk, "--relocate", "gpt-bak-std", node], ""))
    if step.growth is not None and step.growth.number:
        start, size = (
            to_sectors(Bytes(value), disk.logical_sector)
            for value in (step.growth.start, step.growth.size)
        )
        command = [*sfdisk, f"--partno={step.growth.number}", node]
        commands.append((command, f"start={start}, size={size}\n"))
    return commands


def grow_filesystem(node: str, filesystem: str) -> list[str]:
    """To the size of `node`. A tool that did not ride along costs a warning."""
    tool = {"xfs": "xfs_growfs", "btrfs": "btrfs", "ntfs": "ntfsresize"}.get(
        filesystem, "resize2fs"
    )
    if shutil.which(tool) is None:
        return [f"the {filesystem} of {node} stays as it was: no {tool} in this initramfs"]
    match filesystem:
        case "xfs" | "btrfs":
            _grow_mounted(node, filesystem)
        case "ntfs":
            run(["ntfsresize", "--force", "--no-progress-bar", node], timeout=_RESIZE_SECONDS)
        case _:
            checked = run(["e2fsck", "-f", "-p", node], timeout=_RESIZE_SECONDS, check=False)
            if checked.returncode > _CORRECTED:
                raise StepFailed(
                    f"the {filesystem} of {node} has errors: {checked.stdout.strip()[-200:]}",
                    hint="check the source of the image with e2fsck -f, and capture it again",
                )
            run(["resize2fs", node], timeout=_RESIZE_SECONDS)
    return []


def _grow_mounted(node: str, filesystem: str) -> None:
    _PLACE.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Another disk may carry the same image: that is for a later step to say.
    options = "nosuid,nodev,noexec" + (",nouuid" if filesystem == "xfs" else "")
    run(["mount", "-t", filesystem, "-o", options, node, _PLACE], timeout=_MOUNT_SECONDS)
    try:
        if filesystem == "xfs":
            run(["xfs_growfs", "-d", _PLACE], timeout=_RESIZE_SECONDS)
        else:
            run(["btrfs", "filesystem", "resize", "max", _PLACE], timeout=_RESIZE_SECONDS)
    finally:
        run(["umount", _PLACE], timeout=_RESIZE_SECONDS)
