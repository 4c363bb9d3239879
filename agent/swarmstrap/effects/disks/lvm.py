# SPDX-License-Identifier: GPL-2.0-or-later
"""LVM: groups, volumes and thin pools.

The planner counts on 4 MiB extents that begin 1 MiB into a physical volume.
"""

from collections.abc import Sequence

from swarmstrap.effects.disks import volumes
from swarmstrap.effects.run import run
from swarmstrap.steps.storage import MakeGroup, MakeLogical, MakePool

_SECONDS = 300.0
# Nothing of this machine decides: no list of devices, no daemons, no copies of metadata in /etc.
_CONFIG = (
    "devices/use_devicesfile=0 backup/backup=0 backup/archive=0 "
    "activation/monitoring=0 global/use_lvmpolld=0"
)


def make_group(step: MakeGroup) -> None:
    """Raises CommandFailed when another disk has a group of this name: only one could run."""
    nodes = [volumes.node(volume) for volume in step.devices]
    for node in nodes:
        volumes.clear(node)
    for command in group_commands(step, nodes):
        _lvm(command)


def make_pool(step: MakePool) -> None:
    _lvm(pool_arguments(step))


def make_logical(step: MakeLogical) -> None:
    _lvm(logical_arguments(step))


def activate(step: MakeGroup) -> None:
    """All volumes of a group that an earlier deployment made."""
    _lvm(["lvm", "vgchange", "--activate=y", step.name])


def group_commands(step: MakeGroup, nodes: Sequence[str]) -> tuple[list[str], list[str]]:
    return (
        ["lvm", "pvcreate", "--dataalignment=1m", *nodes],
        ["lvm", "vgcreate", "--physicalextentsize=4m", step.name, *nodes],
    )


def pool_arguments(step: MakePool) -> list[str]:
    """The size of the pool's metadata is LVM's choice, and comes on top, twice."""
    name = f"--name={step.volume.name}"
    return ["lvm", "lvcreate", "--type=thin-pool", f"--size={step.size}b", name, step.volume.group]


def logical_arguments(step: MakeLogical) -> list[str]:
    name, group = f"--name={step.volume.name}", step.volume.group
    if step.pool:
        size = f"--virtualsize={step.size}b"
        return ["lvm", "lvcreate", "--type=thin", size, f"--thinpool={step.pool}", name, group]
    # What an older volume left in the same extents is wiped, and none of it is asked about.
    return ["lvm", "lvcreate", f"--size={step.size}b", "--wipesignatures=y", name, group]


def _lvm(command: Sequence[str]) -> None:
    """Returns when udev has made the names of what came to run."""
    run([*command, "--yes", f"--config={_CONFIG}"], timeout=_SECONDS, name=command[1])
