# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a volume of the plan is now: its device node."""

from pathlib import Path
from typing import assert_never

from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.volumes import (
    ArrayVolume,
    CryptVolume,
    LogicalVolume,
    PartitionVolume,
    Volume,
    mdadm_uuid,
)

_WIPE_SECONDS = 120.0


def node(volume: Volume) -> str:
    """The device node. Raises StepFailed when it is not there, or not the planned one."""
    match volume:
        case PartitionVolume():
            return udev.partition_node(volume)
        case ArrayVolume():
            return _link(volume, f"/dev/disk/by-id/md-uuid-{mdadm_uuid(volume.uuid)}")
        case CryptVolume():
            marked = f"CRYPT-LUKS2-{volume.uuid.replace('-', '')}-{volume.name}"
            return _link(volume, f"/dev/disk/by-id/dm-uuid-{marked}")
        case LogicalVolume():
            return _link(volume, f"/dev/{volume.group}/{volume.name}")
        case _:
            assert_never(volume)


def clear(node: str) -> None:
    """Nothing older is found on `node`: no filesystem, no member of an array or of a group."""
    run(["wipefs", "--all", "--force", node], timeout=_WIPE_SECONDS)


def _link(volume: Volume, link: str) -> str:
    path = Path(link)
    if not path.is_block_device():
        raise StepFailed(
            f"{volume} is not there: no {link}", hint="see /proc/mdstat, dmsetup ls and dmesg"
        )
    return str(path.resolve())
