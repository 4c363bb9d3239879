# SPDX-License-Identifier: GPL-2.0-or-later
"""Making the disk bootable with the image's own GRUB, and the host keys that come with it.

grub-install puts core image and modules in place; grub.cfg is a file of the plan.
"""

import logging
from pathlib import Path

from swarmstrap.effects.hardware import udev
from swarmstrap.effects.run import run
from swarmstrap.effects.system.chroot import Chroot, enter, inside
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import InstallGrub

log = logging.getLogger(__name__)

_GRUB_SECONDS = 600.0
_KEYS_SECONDS = 300.0


def install(step: InstallGrub, root: Path) -> tuple[str, ...]:
    """Install every platform of the step. Returns warnings, one line each: the removable path
    boots without an NVRAM entry, so firmware that refuses one does not fail a deployment.
    """
    node = udev.find(step.disk)
    warnings: list[str] = []
    if step.nvram:
        run(["modprobe", "--quiet", "efivarfs"], timeout=60, check=False)
    with enter(root) as system:
        for target in step.targets:
            if target.endswith("-efi"):
                warnings += _install_efi(step, target, system)
            else:
                _grub_install(system, target, node)
    return tuple(warnings)


def _install_efi(step: InstallGrub, target: str, system: Chroot) -> list[str]:
    directory = f"--efi-directory={step.efi_directory}"
    _grub_install(system, target, directory, "--removable", "--no-nvram")
    if not step.nvram:
        return []
    try:
        _grub_install(system, target, directory, f"--bootloader-id={step.bootloader_id}")
    except StepFailed as error:
        log.warning("no NVRAM entry: %s", error)
        return [f"no NVRAM entry was written, the removable path boots: {error.message}"]
    return []


def _grub_install(system: Chroot, target: str, *arguments: str) -> None:
    system.run(["grub-install", f"--target={target}", *arguments], timeout=_GRUB_SECONDS)


def make_host_keys(root: Path) -> None:
    """New keys of every kind that the image's ssh-keygen knows; none for an image without SSH."""
    if inside(root, "/usr/bin/ssh-keygen").exists():
        with enter(root) as system:
            system.run(["/usr/bin/ssh-keygen", "-A"], timeout=_KEYS_SECONDS)
