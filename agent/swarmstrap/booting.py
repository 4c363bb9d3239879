# SPDX-License-Identifier: GPL-2.0-or-later
"""How the new system comes to start: its initramfs, its boot loaders, its place with the firmware.

Every way that image and layout allow is made, for a disk may move to a machine with other firmware.
Pure.
"""

import posixpath
from collections.abc import Iterable, Iterator

from swarmstrap.configuring import System
from swarmstrap.errors import Unplannable
from swarmstrap.grub import TARGETS, esp_cfg
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Facts, Manifest, SignedBoot
from swarmstrap.render import holder, inside
from swarmstrap.sealing import asking
from swarmstrap.stacking import Making
from swarmstrap.steps.storage import MakeArray, MakeCrypt, MakeGroup, MakeLogical
from swarmstrap.steps.system import (
    AddBootEntries,
    BootStep,
    EspCopy,
    EspText,
    FillEsps,
    InstallGrub,
    Need,
    ReadyInitramfs,
)
from swarmstrap.systemd_boot import systemd_boot
from swarmstrap.volumes import DiskId, LogicalVolume, PartitionVolume, Volume
from swarmstrap.wire import Job

# Where firmware looks on an ESP that no entry names (UEFI 2.10, 3.5.1.1).
_REMOVABLE = {"x86_64": "EFI/BOOT/BOOTX64.EFI", "aarch64": "EFI/BOOT/BOOTAA64.EFI"}
# Makes entries of its own, before all others, when it is there.
_FALLBACK = ("EFI/BOOT/fbx64.efi", "EFI/BOOT/fbaa64.efi", "EFI/BOOT/fallback.efi")
_RAID = {0: "raid0", 1: "raid1", 4: "raid456", 5: "raid456", 6: "raid456", 10: "raid10"}
# Of LUKS2 (cryptsetup --help: aes-xts-plain64); AES and SHA-256 are in every kernel.
_CIPHER = "xts"
_BIOS_SECTOR = 512


def boot_steps(
    inventory: Inventory, job: Job, manifest: Manifest, system: System
) -> Iterator[BootStep]:
    """Raises Unplannable when the node's firmware would find nothing that it starts."""
    if system.kernel.initrd:
        yield _initramfs(inventory, manifest.facts, system)
    bios = _bios(inventory, manifest, system)
    if bios is not None:
        yield bios
    uefi = _uefi(inventory, manifest, system)
    if uefi is None:
        return
    loader, install = uefi
    yield install
    if inventory.boot.current_boot_mode == "uefi":
        yield AddBootEntries(
            label=manifest.facts.os_id or "linux",
            esps=_esps(system),
            loader=loader,
            order=job.boot_order,
            netbooted=inventory.boot.pxe_interface != "",
        )


def _initramfs(inventory: Inventory, facts: Facts, system: System) -> ReadyInitramfs:
    """It opens all that is below / and /usr, and all of LUKS, as the command line tells it."""
    making = system.placed.making
    mounted = dict.fromkeys(holder(path, system.placed.volumes) for path in ("/", "/usr"))
    crypts = [step.volume for step in making if isinstance(step, MakeCrypt)]
    tops: list[Volume] = [*(placed.volume for placed in mounted), *crypts]
    volumes = {volume for top in tops for volume in below(top, making)}
    names = {v.disk.name for v in volumes if isinstance(v, PartitionVolume)}
    modules = [
        Need(driver, disk.name)
        for disk in inventory.disks
        if disk.name in names
        for driver in disk.drivers
    ]
    programs = []
    for step in making:
        if isinstance(step, MakeArray | MakeCrypt | MakeLogical) and step.volume in volumes:
            module, program = _opens(step)
            modules.append(Need(module, str(step.volume)))
            programs.append(Need(program, str(step.volume)))
            if isinstance(step, MakeCrypt):
                drivers, askers = asking(inventory, facts, step)
                modules += [Need(_CIPHER, str(step.volume)), *drivers]
                programs += askers
    modules += [Need(p.format, str(p.volume)) for p in mounted if p.format]
    return ReadyInitramfs(
        version=system.kernel.version,
        initrd=f"/{system.kernel.initrd}",
        modules=_once(modules),
        programs=_once(programs),
    )


def _opens(step: MakeArray | MakeCrypt | MakeLogical) -> tuple[str, str]:
    """The module and the program by which what it made is opened again."""
    match step:
        case MakeArray():
            return _RAID[step.level], "mdadm"
        case MakeCrypt():
            return "dm_crypt", "cryptsetup"
        case MakeLogical():
            return "dm_thin_pool" if step.pool else "dm_mod", "lvm"


def _once(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Of those of one name the first."""
    found: dict[str, Need] = {}
    for need in needs:
        found.setdefault(need.name, need)
    return tuple(found.values())


def below(volume: Volume, making: Iterable[Making]) -> Iterator[Volume]:
    """`volume`, and all that it lies on, down to partitions."""
    made = tuple(making)
    yield volume
    for step in made:
        match step:
            case MakeArray() if step.volume == volume:
                devices = (*step.devices, *step.spares)
            case MakeCrypt() if step.volume == volume:
                devices = (step.device,)
            case MakeGroup() if isinstance(volume, LogicalVolume) and volume.group == step.name:
                devices = step.devices
            case _:
                continue
        for device in devices:
            yield from below(device, made)


def _bios(inventory: Inventory, manifest: Manifest, system: System) -> InstallGrub | None:
    """On every disk that has a part of /boot, so that the loss of one leaves another."""
    facts, target = manifest.facts, TARGETS.get(("bios", inventory.cpu.architecture))
    disks = tuple(
        dict.fromkeys(
            volume.disk
            for volume in below(system.boot.volume, system.placed.making)
            if isinstance(volume, PartitionVolume) and _takes_bios_code(volume.disk, system)
        )
    )
    if target in facts.grub_targets and disks:
        return InstallGrub(target, f"/{facts.grub_folder}", disks=disks)
    if inventory.boot.current_boot_mode == "uefi":
        return None
    if target not in facts.grub_targets:
        other = "; its systemd-boot is for UEFI only" if facts.systemd_boot else ""
        raise Unplannable(
            f"{_image(manifest)} carries no GRUB for {target}, by which this node boots{other}",
            hint="install grub-pc-bin before capturing the image, or set the firmware to UEFI",
        )
    raise Unplannable(
        f"the node boots by BIOS, which cannot start from {system.boot.volume}",
        hint="BIOS wants a disk with sectors of 512 bytes and, on a GPT, a bios-boot partition; "
        "or set the firmware to UEFI",
    )


def _takes_bios_code(disk: DiskId, system: System) -> bool:
    placed = next(placed for placed in system.placed.disks if placed.id == disk)
    room = placed.table == "msdos" or any(p.type == "bios-boot" for p in placed.partitions)
    return room and disk.logical_sector == _BIOS_SECTOR


def _uefi(
    inventory: Inventory, manifest: Manifest, system: System
) -> tuple[str, InstallGrub | FillEsps] | None:
    """The loader's path on the ESPs, and what puts it there. Signed wherever there is something
    signed: a machine's Secure Boot may be switched on later.
    """
    facts, machine, esps = manifest.facts, inventory.cpu.architecture, _esps(system)
    needed = inventory.boot.current_boot_mode == "uefi"
    if not esps or machine not in _REMOVABLE:
        if needed:
            raise Unplannable(
                "the node boots by UEFI and the layout has no ESP",
                hint="add {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}",
            )
        return None
    if inventory.boot.secure_boot and facts.signed_boot is None:
        raise Unplannable(
            f"the node has Secure Boot on, and {_image(manifest)} carries no signed shim and GRUB",
            hint="install shim-signed and grub-efi-amd64-signed, or what they are called there, "
            "before capturing the image; or switch Secure Boot off",
        )
    if facts.signed_boot is not None:
        return _signed(facts.signed_boot, facts, machine, system)
    target = TARGETS["uefi", machine]
    if target in facts.grub_targets:
        install = InstallGrub(target, f"/{facts.grub_folder}", esps=esps)
        return _REMOVABLE[machine], install
    if facts.systemd_boot:
        return systemd_boot(manifest, system, esps, _REMOVABLE[machine])
    if needed:
        raise Unplannable(
            f"{_image(manifest)} carries no boot loader for {target}, by which this node boots",
            hint="install grub-efi-amd64-bin, or systemd-boot, before capturing the image",
        )
    return None


def _signed(signed: SignedBoot, facts: Facts, machine: str, system: System) -> tuple[str, FillEsps]:
    """Twice: for the firmware's entry, and where firmware looks without one. Each part finds the
    next beside itself, by the name that it was given when it was built.
    """
    removable = _REMOVABLE[machine]
    copies = [EspCopy(f"/{signed.shim}", removable)]
    folders = (posixpath.dirname(removable), signed.folder)
    copies.append(EspCopy(f"/{signed.shim}", f"{signed.folder}/{_name(signed.shim)}"))
    for folder in folders:
        for path in filter(None, (signed.grub, signed.manager)):
            copies.append(EspCopy(f"/{path}", f"{folder}/{_name(path)}"))
    menu = esp_cfg(system.boot, inside(system.boot, facts.grub_folder))
    return f"{signed.folder}/{_name(signed.shim)}", FillEsps(
        what="the image's signed shim and GRUB",
        esps=_esps(system),
        copies=tuple(copies),
        texts=tuple(EspText(f"{folder}/grub.cfg", menu) for folder in folders),
        absent=_FALLBACK,
    )


def _name(path: str) -> str:
    """What the file is called on an ESP."""
    return posixpath.basename(path).removesuffix(".signed")


def _esps(system: System) -> tuple[PartitionVolume, ...]:
    """Those of all disks, but for any that nobody may write."""
    esps = (v for v in system.placed.volumes if v.type == "esp" and not v.preserved)
    return tuple(esp.volume for esp in esps if isinstance(esp.volume, PartitionVolume))


def _image(manifest: Manifest) -> str:
    return f"image {manifest.name} {manifest.version}"
