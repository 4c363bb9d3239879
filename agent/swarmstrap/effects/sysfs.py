# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine is, apart from its disks, as sysfs and procfs tell it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from swarmstrap.effects.run import run
from swarmstrap.hardware import Inventory, Nic

SYS = Path("/sys")
# PCI classes whose devices a node cannot be installed without: storage and network controllers.
_NEEDED_CLASSES = ("0x01", "0x02")


def look(boot_mac: str) -> Inventory:
    """An inventory without disks."""
    dmi = SYS / "class/dmi/id"
    nics = (_nic(path) for path in sorted((SYS / "class/net").iterdir()))
    return Inventory(
        firmware="uefi" if (SYS / "firmware/efi").exists() else "bios",
        architecture=os.uname().machine,
        uuid=text(dmi / "product_uuid").lower(),
        vendor=text(dmi / "sys_vendor"),
        product=text(dmi / "product_name"),
        serial=text(dmi / "product_serial"),
        cpu=_first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo"),
        cpus=os.cpu_count() or 1,
        memory=int(_first(r"^MemTotal:\s*(\d+) kB$", "/proc/meminfo") or 0) << 10,
        boot_mac=boot_mac.lower(),
        nics=tuple(nic for nic in nics if nic is not None),
        driverless=tuple(_driverless()),
    )


def text(path: Path) -> str:
    """A sysfs attribute, or nothing: which of them exist depends on kernel, driver and device."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int:
    found = text(path)
    return int(found) if found.lstrip("-").isdigit() else 0


def _nic(path: Path) -> Nic | None:
    device = path / "device"
    if not device.exists():
        return None  # lo, bridges, bonds: nothing that a cable goes into
    name = os.path.basename(os.path.realpath(device))
    # virtio and USB NICs sit one level below the PCI device.
    pci = name if re.fullmatch(r"[0-9a-f]{4}:.*", name) else ""
    driver = device / "driver"
    return Nic(
        name=path.name,
        mac=text(path / "address"),
        driver=os.path.basename(os.path.realpath(driver)) if driver.exists() else "",
        link=text(path / "carrier") == "1",
        speed=max(0, number(path / "speed")),
        pci=pci or os.path.basename(os.path.realpath(device / "..")),
        addresses=_addresses(path.name),
    )


def _addresses(name: str) -> tuple[str, ...]:
    shown = run(["ip", "-oneline", "address", "show", "dev", name], timeout=10, check=False)
    return tuple(re.findall(r" inet6? (\S+)", shown.stdout))


def _driverless() -> Iterator[str]:
    """`0000:00:03.0 8086:100e` for each storage or network controller that no driver took."""
    for path in sorted((SYS / "bus/pci/devices").glob("*")):
        if text(path / "class").startswith(_NEEDED_CLASSES) and not (path / "driver").exists():
            vendor, device = text(path / "vendor")[2:], text(path / "device")[2:]
            yield f"{path.name} {vendor}:{device}"


def _first(pattern: str, path: str) -> str:
    match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return match[1] if match else ""
