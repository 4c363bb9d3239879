# SPDX-License-Identifier: GPL-2.0-or-later
"""MD arrays: made of the planned members, and started again."""

from collections.abc import Sequence

from swarmstrap.effects.disks import volumes
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.steps.storage import MakeArray
from swarmstrap.volumes import mdadm_uuid

_SECONDS = 300.0


def make(step: MakeArray) -> None:
    """The array runs when this returns; where it has parity, that is still being computed."""
    members = _members(step)
    for node in members:
        volumes.clear(node)
    run(create_arguments(step, members), timeout=_SECONDS)
    udev.settle()
    # Members in the same place as before show what an older array held.
    volumes.clear(volumes.node(step.volume))


def start(step: MakeArray) -> None:
    """The array that an earlier deployment made of these members, all of which must be there."""
    run(assemble_arguments(step, _members(step)), timeout=_SECONDS)
    udev.settle()


def create_arguments(step: MakeArray, members: Sequence[str]) -> list[str]:
    """The command that makes the array of `members`, the spares last. It must ask nothing."""
    command = ["mdadm", "--create", f"/dev/md/{step.volume.name}", "--run", "--homehost=any"]
    command += [f"--name={step.volume.name}", f"--uuid={mdadm_uuid(step.volume.uuid)}"]
    command += [f"--metadata={step.metadata}", f"--level={step.level}"]
    command.append(f"--raid-devices={len(step.devices)}")
    if step.spares:
        command.append(f"--spare-devices={len(step.spares)}")
    if step.level != 0:
        command.append("--bitmap=internal")
    if step.level in (1, 10):
        # Each write goes to all copies, and what nobody wrote nobody reads: copying it first would
        # only slow the installation down. A later check counts such blocks in mismatch_cnt.
        # Parity has no such excuse: it is computed from every block beside the one written.
        command.append("--assume-clean")
    return [*command, *members]


def assemble_arguments(step: MakeArray, members: Sequence[str]) -> list[str]:
    uuid = mdadm_uuid(step.volume.uuid)
    command = ["mdadm", "--assemble", f"/dev/md/{step.volume.name}", "--run", "--homehost=any"]
    return [*command, f"--uuid={uuid}", *members]


def _members(step: MakeArray) -> list[str]:
    return [volumes.node(volume) for volume in (*step.devices, *step.spares)]
