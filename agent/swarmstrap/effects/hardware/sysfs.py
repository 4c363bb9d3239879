# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine is, apart from its disks and NICs, as sysfs and procfs tell it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from swarmstrap.effects.run import run
from swarmstrap.hardware import Boot, Cpu, Inventory, Memory, SystemVendor, Tpm

SYS = Path("/sys")
SECTOR = 512  # what sizes are counted in here, whatever a disk's own sectors are
_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
_MOUNT_SECONDS = 60.0

# What a node cannot be installed without: classes of the PCI Code and ID Assignment 1.16.
_NEEDED = {
    "0x0100": "SCSI controller",
    "0x0101": "IDE controller",
    "0x0104": "RAID controller",
    "0x0105": "ATA controller",
    "0x0106": "SATA controller",
    "0x0107": "SAS controller",
    "0x0108": "NVMe controller",
    "0x0109": "UFS controller",
    "0x0180": "storage controller",
    "0x0200": "Ethernet controller",
    "0x0207": "InfiniBand controller",
}


def look(pxe_interface: str) -> Inventory:
    """An inventory without disks and NICs; `pxe_interface` is the MAC that the node booted by."""
    dmi = SYS / "class/dmi/id"
    uefi = (SYS / "firmware/efi").exists()
    return Inventory(
        boot=Boot(
            current_boot_mode="uefi" if uefi else "bios",
            pxe_interface=pxe_interface.lower(),
            secure_boot=_secure_boot() if uefi else None,
        ),
        cpu=Cpu(
            architecture=os.uname().machine,
            count=os.cpu_count() or 1,
            model_name=_first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo"),
        ),
        memory=Memory(total=memory()),
        system_vendor=SystemVendor(
            manufacturer=text(dmi / "sys_vendor"),
            product_name=text(dmi / "product_name"),
            serial_number=text(dmi / "product_serial"),
            uuid=text(dmi / "product_uuid").lower(),
        ),
        tpm=tpm(),
        driverless=tuple(driverless()),
    )


def memory() -> int:
    """Bytes that the kernel can use."""
    return int(_first(r"^MemTotal:\s*(\d+) kB$", "/proc/meminfo") or 0) << 10


def tpm() -> Tpm | None:
    folder = SYS / "class/tpm/tpm0"
    version = number(folder / "tpm_version_major")
    return Tpm(version=version, drivers=drivers(folder / "device")) if version else None


def driverless() -> Iterator[str]:
    """`Ethernet controller 8086:100e at 0000:00:03.0` for each that no driver took."""
    for path in sorted((SYS / "bus/pci/devices").glob("*")):
        kind = _NEEDED.get(text(path / "class")[:6])
        if kind and not (path / "driver").exists():
            vendor, device = text(path / "vendor")[2:], text(path / "device")[2:]
            yield f"{kind} {vendor}:{device} at {path.name}"


def drivers(device: Path) -> tuple[str, ...]:
    """The kernel modules of the device at `device` and of those that it is attached to, from the
    bus downwards. What is built into this kernel has no module that could be named, and is taken
    to be built into others, too.
    """
    real = device.resolve()
    ends = [real]
    if real.parent.name.startswith("nvme-subsys"):
        # A namespace that several controllers may have hangs on none of them.
        ends += [path.resolve() for path in sorted(real.parent.glob("nvme*")) if path.is_symlink()]
    modules = (path / "driver/module" for end in ends for path in (end, *end.parents))
    names = [module.resolve().name for module in modules if module.exists()]
    return tuple(dict.fromkeys(reversed(names)))


def text(path: Path) -> str:
    """A sysfs attribute, or nothing: which of them exist depends on kernel, driver and device."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int:
    found = text(path)
    return int(found) if found.lstrip("-").isdigit() else 0


def extent(partition: Path) -> tuple[int, int]:
    """Start and size in bytes of the partition whose sysfs folder this is."""
    return number(partition / "start") * SECTOR, number(partition / "size") * SECTOR


def efi_variables() -> Path:
    """Where the firmware's variables are; an initramfs has nobody else to mount them."""
    folder = SYS / "firmware/efi/efivars"
    if folder.is_dir() and not any(folder.iterdir()):
        run(["modprobe", "--quiet", "efivarfs"], timeout=_MOUNT_SECONDS, check=False)
        mount = ["mount", "-t", "efivarfs", "efivarfs", str(folder)]
        run(mount, timeout=_MOUNT_SECONDS, check=False)
    return folder


def _secure_boot() -> bool | None:
    """Four bytes of attributes, then the value."""
    try:
        value = (efi_variables() / _SECURE_BOOT).read_bytes()[4:]
    except OSError:
        return None
    return value == b"\1" if value else None


def _first(pattern: str, path: str) -> str:
    match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return match[1] if match else ""
