# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the initramfs in the agent's place: a storage stack made, stopped, opened, made anew.

Tells the lab's port each step that was carried out, in a line of JSON, and `done` at the end.
"""

import json
import re
import subprocess
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from swarmstrap.effects.disks import disk, filesystems, stack, teardown, volumes
from swarmstrap.effects.hardware import contents, sysfs, udev
from swarmstrap.errors import StepFailed
from swarmstrap.layout import Layout
from swarmstrap.placing import Identity, place_disks
from swarmstrap.stacking import Placed
from swarmstrap.stacking import stack as place_stack
from swarmstrap.steps.storage import (
    MakeArray,
    MakeCrypt,
    MakeFilesystem,
    MakeGroup,
    MakeLogical,
    MakePool,
    MakeSubvolumes,
    MountVolume,
    OpenAgain,
    ReleaseDisks,
    StorageStep,
    WipeDisk,
    WritePartitionTable,
)

PORT = "/dev/virtio-ports/org.swarmstrap.report"
SERIALS = ("stack-a", "stack-b", "stack-c")
ROOT = filesystems.TARGET
SECRETS = {"vault": "a secret of this node"}
LAYOUT = "/storage-stack.json"
TARGETS = ("", "var", "boot", "home", "srv")


class Teller:
    """The port, and the nonce by which a line is known to be of this run."""

    def __init__(self) -> None:
        found = re.search(r"nonce=(\w+)", Path("/proc/cmdline").read_text())
        self._nonce = found[1] if found else ""
        self._port = open(PORT, "w", encoding="ascii")

    def tell(self, what: str, **more: object) -> None:
        print(json.dumps({"nonce": self._nonce, "did": what, **more}), file=self._port, flush=True)

    def carry_out(self, steps: Iterable[StorageStep]) -> None:
        for step in steps:
            started = time.monotonic()
            carry_out(step)
            self.tell(str(step), seconds=round(time.monotonic() - started, 2))


def carry_out(step: StorageStep) -> None:
    match step:
        case WipeDisk():
            disk.wipe(step)
        case WritePartitionTable():
            disk.write_table(step)
        case MakeFilesystem():
            filesystems.make(step)
        case MakeSubvolumes():
            filesystems.make_subvolumes(step)
        case MountVolume():
            filesystems.mount(step, ROOT)
        case (
            ReleaseDisks()
            | MakeArray()
            | MakeCrypt()
            | MakeGroup()
            | MakePool()
            | MakeLogical()
            | OpenAgain()
        ):
            stack.carry_out(step, SECRETS)
        case _:
            raise AssertionError(f"no step of a storage stack: {step}")


def fresh(placed: Placed) -> Iterator[StorageStep]:
    yield ReleaseDisks(tuple(each.id for each in placed.disks))
    for each in placed.disks:
        yield WipeDisk(each.id, ())
        yield WritePartitionTable(each.id, each.uuid, each.partitions, each.table)
    yield from placed.making
    for volume in placed.volumes:
        if volume.format:
            sectors = volume.size // volume.sector
            yield MakeFilesystem(volume.volume, volume.format, volume.label, volume.uuid, sectors)
        if volume.subvolumes:
            yield MakeSubvolumes(volume.volume, volume.subvolumes)


def again(placed: Placed) -> Iterator[StorageStep]:
    for made in placed.making:
        if isinstance(made, MakeArray | MakeCrypt | MakeGroup):
            yield OpenAgain(made)


def mounts(placed: Placed) -> Iterator[StorageStep]:
    steps = []
    for volume in placed.volumes:
        for mount in volume.mounts if volume.format else ():
            options = mount.options + (f",subvol={mount.subvolume}" if mount.subvolume else "")
            assert volume.format
            steps.append(MountVolume(volume.volume, volume.format, mount.target, options))
    yield from sorted(steps, key=lambda step: step.target)


def running() -> list[str]:
    """Arrays and mapped devices."""
    return sorted(path.name for path in Path("/sys/block").glob("[dm][md]*[0-9]"))


def look_for(what: Literal["first", "nothing"]) -> None:
    for target in TARGETS:
        path = ROOT / target / "first"
        assert path.exists() == (what == "first"), path


def prove(told: Teller) -> None:
    udev.settle()
    layout = msgspec.json.decode(Path(LAYOUT).read_bytes(), type=Layout)
    identity = Identity("stack", "node")
    placed = place_stack(layout, place_disks(layout, udev.look("").disks, identity), identity)
    disks = [each.id for each in placed.disks]
    told.carry_out(fresh(placed))
    told.carry_out(mounts(placed))
    for target in TARGETS:
        (ROOT / target / "first").write_text("from the first attempt")
    for volume in placed.volumes:
        name = Path(volumes.node(volume.volume)).name
        size = sysfs.number(Path("/sys/class/block", name, "size")) * sysfs.SECTOR
        assert size >= volume.size, (volume, size)

    before = running()
    try:
        teardown.stop(disks)
    except StepFailed as error:
        told.tell("refused what is mounted", error=str(error))
    assert running() == before

    filesystems.settle(ROOT)
    teardown.stop(disks)
    subprocess.run(["udevadm", "trigger", "--action=add", "--subsystem-match=block"], check=True)
    udev.settle()
    assert running() == [], running()
    told.tell("stopped, and nothing starts by itself")

    told.carry_out(again(placed))
    told.carry_out(mounts(placed))
    look_for("first")

    # As after a failure, whose next attempt begins with the first step.
    filesystems.release(ROOT)
    told.carry_out(fresh(placed))
    told.carry_out(mounts(placed))
    look_for("nothing")

    filesystems.settle(ROOT)
    teardown.stop(disks)
    for each in disks:
        disk.wipe(WipeDisk(each, ()))
        seen = contents.probe(Path("/sys/block", Path(udev.find(each)).name))
        assert seen.signatures == (), seen
    told.tell("wiped")


def main() -> int:
    told = Teller()
    try:
        prove(told)
    except Exception:
        told.tell("failed", error=traceback.format_exc())
        return 1
    told.tell("done")
    return 0
