# SPDX-License-Identifier: GPL-2.0-or-later
"""Inventory: a snapshot of what a node is, in the shape and words of Ironic's inventory.

Where it differs from Ironic's:

* What Ironic lacks is added: Secure Boot, the permanent MAC, of a disk its signatures, partitions
  and holders, its other names, whether it is removable; the TPM; `uuid` stands in
  `system_vendor`, beside the serial number.
* `logical_sector` and `physical_sector` are in the singular, for they are sizes and not counts.
* `wwn` is the one that lsblk shows; its halves with and without extension are left out.
* `addresses` is all of a NIC's addresses with their masks, not one for each protocol.
* `lldp` is what a switch said, not its packet; `driver` and `permanent_mac` say which NIC it is.
* `memory` has no `physical_mb`: a plan depends on what the kernel can use.
* Absent is an empty text or 0, so that nobody has to ask for null first; but for `secure_boot`,
  `lldp` and `tpm`, where nothing is an answer of its own.
"""

from typing import Literal

import msgspec

Firmware = Literal["bios", "uefi"]

# Media that start the installer carry a filesystem with this label.
MEDIUM_LABEL = "SWARMSTRAP"


class Cpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`architecture` as uname has it; `count` is of threads."""

    architecture: str
    count: int = 1
    model_name: str = ""


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`total` in bytes, without what firmware and kernel keep for themselves."""

    total: int = 0


class SystemVendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """SMBIOS type 1; `uuid` in lower case."""

    manufacturer: str = ""
    product_name: str = ""
    serial_number: str = ""
    uuid: str = ""


class Boot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How this boot came about. `pxe_interface` is the MAC of the NIC it came through.

    `secure_boot` is null where there is no such thing, or the firmware does not say.
    """

    current_boot_mode: Firmware
    pxe_interface: str = ""
    secure_boot: bool | None = None


class Tpm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first TPM that a driver took; `version` is 2 or 1. `drivers` as those of a disk."""

    version: int
    drivers: tuple[str, ...] = ()


class FoundPartition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A partition that is there. `start` and `size` in bytes; `type` and `uuid` of its entry in the
    table as blkid says them (a GUID, or `0x83`), and so is what lies in it: `filesystem` may be
    `ext4` or `LVM2_member`.
    """

    number: int
    start: int
    size: int
    type: str = ""
    uuid: str = ""
    name: str = ""
    filesystem: str = ""
    filesystem_uuid: str = ""
    label: str = ""


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device that the kernel calls a disk, as the kernel and udev describe it.

    `name` is the device node of this boot (`/dev/nvme0n1`): good for saying, never for matching
    across boots; `links` are its lasting names below /dev/disk. `size` and sectors are in bytes.
    `holders` is what uses it now: devices on top of it, mount points, swap. `multipath` marks a
    path that a multipath device has taken, `boot_medium` what the installer was started from.
    `drivers` are the kernel modules of the disk and of all that it is attached to.
    """

    name: str
    size: int
    logical_sector: int = 512
    physical_sector: int = 512
    model: str = ""
    vendor: str = ""
    serial: str = ""
    wwn: str = ""
    hctl: str = ""
    by_path: str = ""
    tran: str = ""
    links: tuple[str, ...] = ()
    rotational: bool = False
    removable: bool = False
    read_only: bool = False
    multipath: bool = False
    boot_medium: bool = False
    optimal_io: int = 0
    signatures: tuple[str, ...] = ()
    partitions: tuple[FoundPartition, ...] = ()
    holders: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()


class Neighbour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The port at the other end of a NIC's cable, by what it says of itself over LLDP.

    `vlan` is the port's untagged VLAN, 0 when it does not say.
    """

    chassis_id: str
    port_id: str
    port_description: str = ""
    system_name: str = ""
    management_address: str = ""
    vlan: int = 0

    def __str__(self) -> str:
        vlan = f", VLAN {self.vlan}" if self.vlan else ""
        return f"{self.system_name or self.chassis_id} port {self.port_id}{vlan}"


class Nic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network interface that a cable goes into.

    `speed_mbps` is 0 without a link; `pci_address` as in `0000:00:03.0`; `vendor` and `product`
    are its PCI ids, as in `0x8086`.
    """

    name: str
    mac_address: str
    permanent_mac: str = ""
    driver: str = ""
    has_carrier: bool = False
    speed_mbps: int = 0
    pci_address: str = ""
    vendor: str = ""
    product: str = ""
    addresses: tuple[str, ...] = ()
    lldp: Neighbour | None = None


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `look` found. `driverless` names controllers that no driver of this kernel took."""

    boot: Boot
    cpu: Cpu
    memory: Memory = Memory()
    system_vendor: SystemVendor = SystemVendor()
    tpm: Tpm | None = None
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Nic, ...] = ()
    driverless: tuple[str, ...] = ()
