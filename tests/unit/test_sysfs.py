# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine made of files: firmware, SMBIOS, controllers without a driver, NICs."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from swarmstrap.command import Argument, Completed
from swarmstrap.effects.hardware import nics, sysfs
from swarmstrap.hardware import Tpm

SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysfs, "SYS", tmp_path)
    return tmp_path


def put(machine: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_bios_has_no_secure_boot(machine: Path) -> None:
    put(
        machine, **{"class/dmi/id/sys_vendor": "Dell Inc.\n", "class/dmi/id/product_uuid": "4C4C\n"}
    )
    seen = sysfs.look("52:54:00:AB:CD:EF")
    assert (seen.boot.current_boot_mode, seen.boot.secure_boot) == ("bios", None)
    assert seen.boot.pxe_interface == "52:54:00:ab:cd:ef"
    assert (seen.system_vendor.manufacturer, seen.system_vendor.uuid) == ("Dell Inc.", "4c4c")


@pytest.mark.parametrize(
    ("variable", "state"),
    [(b"\6\0\0\0\1", True), (b"\6\0\0\0\0", False), (b"\6\0\0\0", None), (b"", None)],
)
def test_secure_boot_follows_four_bytes_of_attributes(
    variable: bytes, state: bool | None, machine: Path
) -> None:
    put(machine, **{SECURE_BOOT: variable})
    assert sysfs.look("").boot.secure_boot is state


def test_uefi_that_has_no_such_variable(machine: Path) -> None:
    put(machine, **{"firmware/efi/efivars/Boot0000-8be4df61": b""})
    assert sysfs.look("").boot.secure_boot is None


@pytest.mark.parametrize("driver", ["", "tpm_crb"])
def test_a_tpm_and_the_module_that_drives_it(driver: str, machine: Path) -> None:
    assert sysfs.look("").tpm is None
    put(machine, **{"class/tpm/tpm0/tpm_version_major": "2\n"})
    device = machine / "devices/MSFT0101:00"
    (device / "driver").mkdir(parents=True)
    (machine / "class/tpm/tpm0/device").symlink_to(device)
    if driver:
        (machine / f"module/{driver}").mkdir(parents=True)
        (device / "driver/module").symlink_to(machine / f"module/{driver}")
    assert sysfs.look("").tpm == Tpm(version=2, drivers=(driver,) if driver else ())


def test_a_controller_without_a_driver_is_named(machine: Path) -> None:
    for address, code, driver in (
        ("0000:00:1f.2", "0x010601", True),
        ("0000:21:00.0", "0x010400", False),
        ("0000:22:00.0", "0x030000", False),
        ("0000:c1:00.0", "0x020000", False),
    ):
        device = f"bus/pci/devices/{address}"
        put(machine, **{f"{device}/class": code, f"{device}/vendor": "0x1000"})
        put(machine, **{f"{device}/device": "0x10e2"})
        if driver:
            put(machine, **{f"{device}/driver/bind": ""})
    assert list(sysfs.driverless()) == [
        "RAID controller 1000:10e2 at 0000:21:00.0",
        "Ethernet controller 1000:10e2 at 0000:c1:00.0",
    ]


LINKS = [
    {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": []},
    {
        "ifname": "eth1",
        "address": "52:54:00:00:00:07",
        "permaddr": "3c:fd:fe:00:00:01",
        "addr_info": [
            {"local": "192.0.2.7", "prefixlen": 24},
            {"local": "fe80::1", "prefixlen": 64},
        ],
    },
    {"ifname": "eth0", "address": "52:54:00:00:00:08", "addr_info": []},
]


def test_nics_are_what_a_cable_goes_into(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ip(argv: Sequence[Argument], *, timeout: float) -> Completed:
        return Completed(0, json.dumps(LINKS), "")

    monkeypatch.setattr(nics, "run", ip)
    pci = "devices/pci0000:00/0000:00:03.0"
    put(machine, **{f"{pci}/vendor": "0x1af4\n", f"{pci}/device": "0x1000\n"})
    put(machine, **{"class/net/eth1/carrier": "1\n", "class/net/eth1/speed": "10000\n"})
    put(machine, **{"class/net/eth0/speed": "-1\n", "drivers/virtio_net/bind": ""})
    (machine / pci / "virtio0").mkdir()
    (machine / pci / "virtio0/driver").symlink_to(machine / "drivers/virtio_net")
    (machine / "class/net/eth0/device").mkdir()
    (machine / "class/net/eth1/device").symlink_to(machine / pci / "virtio0")
    unplugged, plugged = nics.look()
    assert (unplugged.name, unplugged.driver, unplugged.has_carrier) == ("eth0", "", False)
    assert unplugged.permanent_mac == unplugged.mac_address == "52:54:00:00:00:08"
    assert (plugged.name, plugged.driver, plugged.speed_mbps) == ("eth1", "virtio_net", 10000)
    assert plugged.permanent_mac == "3c:fd:fe:00:00:01"
    assert plugged.addresses == ("192.0.2.7/24", "fe80::1/64")
    assert (plugged.pci_address, plugged.vendor, plugged.product) == (
        "0000:00:03.0",
        "0x1af4",
        "0x1000",
    )


def attach(machine: Path, device: str, module: str) -> None:
    (machine / "module" / module).mkdir(parents=True, exist_ok=True)
    driver = machine / "drivers" / module
    driver.mkdir(parents=True, exist_ok=True)
    (driver / "module").symlink_to(machine / "module" / module)
    (machine / device).mkdir(parents=True, exist_ok=True)
    (machine / device / "driver").symlink_to(driver)


def test_drivers_from_the_bus_down_to_the_disk(machine: Path) -> None:
    controller = "devices/pci0000:00/0000:00:05.0"
    disk = f"{controller}/host0/target0:2:0/0:2:0:0"
    attach(machine, controller, "megaraid_sas")
    attach(machine, disk, "sd_mod")
    # Built in: a driver without a module.
    (machine / "drivers/pcieport").mkdir()
    (machine / "devices/pci0000:00/driver").symlink_to(machine / "drivers/pcieport")
    (machine / disk / "block/sda").mkdir(parents=True)
    (machine / "block").mkdir()
    (machine / "block/sda").symlink_to(machine / disk / "block/sda")
    assert sysfs.drivers(machine / "block/sda") == ("megaraid_sas", "sd_mod")


def test_drivers_of_a_namespace_of_several_controllers(machine: Path) -> None:
    subsystem = machine / "devices/virtual/nvme-subsystem/nvme-subsys0"
    (subsystem / "nvme0n1").mkdir(parents=True)
    for number in (0, 1):
        controller = f"devices/pci0000:00/0000:0{number}:00.0"
        attach(machine, controller, "nvme" if number else "vmd")
        (machine / controller / f"nvme/nvme{number}").mkdir(parents=True)
        (subsystem / f"nvme{number}").symlink_to(machine / controller / f"nvme/nvme{number}")
    assert sorted(sysfs.drivers(subsystem / "nvme0n1")) == ["nvme", "vmd"]
