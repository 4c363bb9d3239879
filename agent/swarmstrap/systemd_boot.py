# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-boot: kernel, initramfs and menu all lie on the ESP. Pure.

Names are those of the Boot Loader Specification, type 1, and of kernel-install(8), which goes on
with them when the installed system gets another kernel.
"""

from swarmstrap.configuring import System, machine_id
from swarmstrap.manifest import Manifest
from swarmstrap.steps.system import EspCopy, EspText, FillEsps
from swarmstrap.volumes import PartitionVolume

_SECONDS = 2


def systemd_boot(
    manifest: Manifest, system: System, esps: tuple[PartitionVolume, ...], removable: str
) -> tuple[str, FillEsps]:
    """The loader's path on the ESP, and the step that puts all of it there."""
    program = f"/{manifest.facts.systemd_boot}"
    loader = f"EFI/systemd/{program.rpartition('/')[2]}"
    token, kernel = machine_id(system.identity), system.kernel
    folder = f"{token}/{kernel.version}"
    copies = [
        EspCopy(program, removable),
        EspCopy(program, loader),
        EspCopy(f"/{kernel.image}", f"{folder}/linux"),
    ]
    lines = [
        f"title      {manifest.facts.os_name or manifest.facts.os_id or 'Linux'}",
        f"version    {kernel.version}",
        f"machine-id {token}",
        f"options    {system.arguments}",
        f"linux      /{folder}/linux",
    ]
    if kernel.initrd:
        copies.append(EspCopy(f"/{kernel.initrd}", f"{folder}/initrd.img"))
        lines.append(f"initrd     /{folder}/initrd.img")
    return loader, FillEsps(
        what=f"systemd-boot and kernel {kernel.version}",
        esps=esps,
        copies=tuple(copies),
        texts=(
            EspText(f"loader/entries/{token}-{kernel.version}.conf", "\n".join([*lines, ""])),
            EspText("loader/loader.conf", f"timeout {_SECONDS}\ndefault {token}-*\n"),
            EspText("loader/entries.srel", "type1\n"),
        ),
    )
