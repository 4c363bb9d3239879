# SPDX-License-Identifier: GPL-2.0-or-later
"""Making disks bootable with what the image carries, and the host keys that come with it.

grub-install puts core image and modules in place; grub.cfg is a file of the plan.
"""

import contextlib
import filecmp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from swarmstrap.effects.disks.volumes import node
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.effects.system.chroot import Chroot, enter, inside
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import FillEsps, InstallGrub
from swarmstrap.volumes import PartitionVolume

_GRUB_SECONDS = 600.0
_KEYS_SECONDS = 300.0
_MOUNT_SECONDS = 60.0
# Beside wherever the system has its ESP: the others have no place in it.
_ESP = "/run/swarmstrap-esp"


def install_grub(step: InstallGrub, root: Path) -> None:
    """For every disk and ESP of the step."""
    program = "grub2-install" if step.folder.endswith("grub2") else "grub-install"
    command = [program, f"--target={step.target}"]
    with enter(root) as system:
        for disk in step.disks:
            system.run([*command, udev.find(disk)], timeout=_GRUB_SECONDS)
        for esp in step.esps:
            # The one place where firmware looks unasked; entries are a step of their own.
            place = [f"--efi-directory={_ESP}", "--removable", "--no-nvram"]
            with _mounted(esp, system):
                system.run([*command, *place], timeout=_GRUB_SECONDS)


def fill_esps(step: FillEsps, root: Path) -> None:
    """What is there already is not written: a FAT that is cut off in the middle loses files."""
    with enter(root) as system:
        for esp in step.esps:
            with _mounted(esp, system) as top:
                fill(step, root, top)


def fill(step: FillEsps, root: Path, top: Path) -> None:
    """One ESP, mounted at `top`."""
    for copy in step.copies:
        source = inside(root, copy.source)
        if not source.is_file():
            raise StepFailed(
                f"the new system has no {copy.source}, of which it says it boots",
                hint="a hook removed it, or the image was changed: capture it again",
            )
        target = top / copy.path
        if not (target.exists() and filecmp.cmp(source, target, shallow=False)):
            with _replacing(target) as new:
                shutil.copyfile(source, new)
    for text in step.texts:
        target, content = top / text.path, text.content.encode()
        if not (target.exists() and target.read_bytes() == content):
            with _replacing(target) as new:
                new.write_bytes(content)
    for path in step.absent:
        (top / path).unlink(missing_ok=True)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A file that takes the place of `target` once all of it is on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name("new.tmp")
    yield new
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(target)


@contextlib.contextmanager
def _mounted(esp: PartitionVolume, system: Chroot) -> Iterator[Path]:
    """The ESP, also where the chroot's programs can see it."""
    place = inside(system.root, _ESP)
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "vfat", "-o", "umask=0077", node(esp), str(place)]
    run(mount, timeout=_MOUNT_SECONDS)
    try:
        yield place
    finally:
        run(["umount", place], timeout=_MOUNT_SECONDS)


def make_host_keys(root: Path) -> None:
    """New keys of every kind that the image's ssh-keygen knows; none for an image without SSH."""
    if inside(root, "/usr/bin/ssh-keygen").exists():
        with enter(root) as system:
            system.run(["/usr/bin/ssh-keygen", "-A"], timeout=_KEYS_SECONDS)
