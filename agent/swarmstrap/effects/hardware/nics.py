# SPDX-License-Identifier: GPL-2.0-or-later
"""The network interfaces of this machine that a cable goes into."""

import re
from pathlib import Path

import msgspec

from swarmstrap.effects.hardware import sysfs
from swarmstrap.effects.hardware.sysfs import number, text
from swarmstrap.effects.run import run
from swarmstrap.hardware import Nic

_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_IP_SECONDS = 10.0


class _Address(msgspec.Struct):
    local: str
    prefixlen: int


class _Link(msgspec.Struct):
    """What is used here of `ip -json address`; `permaddr` is there when it differs."""

    ifname: str = ""
    address: str = ""
    permaddr: str = ""
    addr_info: list[_Address] = []


def look() -> tuple[Nic, ...]:
    """All of them, sorted by name."""
    shown = run(["ip", "-json", "address", "show"], timeout=_IP_SECONDS).stdout
    links = msgspec.json.decode(shown, type=list[_Link])
    # lo, bridges and bonds have no device below them.
    wired = (link for link in links if _device(link).exists())
    return tuple(_nic(link) for link in sorted(wired, key=lambda link: link.ifname))


def _device(link: _Link) -> Path:
    return sysfs.SYS / "class/net" / link.ifname / "device"


def _nic(link: _Link) -> Nic:
    device = _device(link)
    driver, pci = device / "driver", _pci(device)
    linked = text(device.parent / "carrier") == "1"
    return Nic(
        name=link.ifname,
        mac_address=link.address,
        permanent_mac=link.permaddr or link.address,
        driver=driver.resolve().name if driver.exists() else "",
        has_carrier=linked,
        speed_mbps=max(0, number(device.parent / "speed")) if linked else 0,
        pci_address=pci.name if pci else "",
        vendor=text(pci / "vendor") if pci else "",
        product=text(pci / "device") if pci else "",
        addresses=tuple(f"{address.local}/{address.prefixlen}" for address in link.addr_info),
    )


def _pci(device: Path) -> Path | None:
    """virtio and USB NICs sit some levels below their PCI device."""
    real = device.resolve()
    return next((path for path in (real, *real.parents) if _PCI.fullmatch(path.name)), None)
