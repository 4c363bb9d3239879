# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping whatever runs on disks: before they are wiped, after a failure, before the node leaves.

sysfs tells what lies on what, whoever made it. Nothing is written, nothing is unmounted.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from swarmstrap.effects.hardware import contents, sysfs, udev
from swarmstrap.effects.hardware.sysfs import text
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.volumes import DiskId

# An array that stops writes what it holds back, and marks itself clean.
_SECONDS = 300.0


def stop(disks: Iterable[DiskId]) -> None:
    """Nothing runs on `disks` any more. Raises StepFailed, with everything still running, when
    some of it is mounted, is swap, or is nothing that can be stopped.
    """
    udev.settle()
    folders = [(sysfs.SYS / "class/block" / Path(udev.find(disk)).name).resolve() for disk in disks]
    running = stacked(folders)
    for device in (*running, *folders):
        _check_unused(device)
    for command in [stop_arguments(device) for device in running]:
        run(command, timeout=_SECONDS)
        # Whoever probes what is below keeps it busy.
        udev.settle()


def stacked(devices: Iterable[Path]) -> list[Path]:
    """The devices (as sysfs folders) that lie on `devices`, each before what it lies on."""
    found: dict[Path, None] = {}

    def visit(device: Path) -> None:
        for holder in _holders(device):
            if holder not in found:
                visit(holder)
                found[holder] = None

    for device in devices:
        visit(device)
    return list(found)


def stop_arguments(device: Path) -> list[str]:
    """The command that stops an array, or anything of the device mapper: LVM, LUKS, multipath."""
    if (device / "dm").is_dir():
        return ["dmsetup", "remove", "--retry", text(device / "dm/name")]
    if (device / "md").is_dir():
        return ["mdadm", "--stop", f"/dev/{device.name}"]
    raise StepFailed(
        f"{device.name} runs on a disk of the plan, and is no array and no mapped device",
        hint="stop it by hand (swarmstrap.break=disks gives a shell), or leave that disk out",
    )


def _holders(device: Path) -> Iterator[Path]:
    for part in (device, *contents.parts(device)):
        for holder in sorted((part / "holders").iterdir()):
            yield holder.resolve()


def _check_unused(device: Path) -> None:
    for part in (device, *contents.parts(device)):
        for use in contents.uses(part):
            raise StepFailed(
                f"/dev/{part.name} is in use: {use}",
                hint="whatever mounted it knows better: unmount it, or leave that disk out",
            )
