# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of an image's boot loaders a layout wants. Pure."""

from msgspec.structs import replace

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Boot
from swarmstrap.layout import Layout
from swarmstrap.manifest import Manifest


def narrowed(manifest: Manifest, layout: Layout, boot: Boot) -> Manifest:
    """`manifest` as if the image carried no boot loader but the one that `layout` names, if it
    names one. Raises Unplannable when the image has not got that, or the node cannot start it.
    """
    facts, image = manifest.facts, f"image {manifest.name} {manifest.version}"
    match layout.bootloader:
        case None:
            return manifest
        case "grub":
            if not facts.grub_targets and facts.signed_boot is None:
                raise Unplannable(
                    f"the layout wants GRUB, and {image} carries none",
                    hint="install it before capturing the image, or leave `bootloader` out",
                )
            return replace(manifest, facts=replace(facts, systemd_boot=""))
        case "systemd-boot":
            if not facts.systemd_boot:
                raise Unplannable(
                    f"the layout wants systemd-boot, and {image} carries none",
                    hint="install systemd-boot-efi, or what it is called there, before capturing "
                    "the image; or leave `bootloader` out",
                )
            _check_firmware(boot)
            return replace(manifest, facts=replace(facts, grub_targets=(), signed_boot=None))


def _check_firmware(boot: Boot) -> None:
    if boot.current_boot_mode == "bios":
        raise Unplannable(
            "the layout wants systemd-boot, which is for UEFI, and the node boots by BIOS",
            hint="leave `bootloader` out, or set the firmware to UEFI",
        )
    if boot.secure_boot:
        raise Unplannable(
            "the layout wants systemd-boot, which nobody has signed, and the node has Secure Boot "
            "on",
            hint="leave `bootloader` out, or switch Secure Boot off",
        )
