# SPDX-License-Identifier: GPL-2.0-or-later
"""Inventory: a snapshot of what a node is. Its JSON shape stays close to Ironic's."""

from typing import Literal

import msgspec

Firmware = Literal["bios", "uefi"]


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One whole disk as the kernel and udev describe it.

    `name` is the device node of this boot (`/dev/nvme0n1`): good for saying, never for matching
    across boots. `size` is in bytes, sector sizes too. `holders` are devices built on top of it.
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
    rotational: bool = False
    removable: bool = False
    read_only: bool = False
    optimal_io: int = 0
    signatures: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()


class Nic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network interface; `speed` in Mbit/s, 0 when unknown; `pci` as in `0000:00:03.0`."""

    name: str
    mac: str
    driver: str = ""
    link: bool = False
    speed: int = 0
    pci: str = ""
    addresses: tuple[str, ...] = ()


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `look` found. `memory` is bytes; `boot_mac` is the NIC the node was booted from."""

    firmware: Firmware
    architecture: str
    uuid: str = ""
    vendor: str = ""
    product: str = ""
    serial: str = ""
    cpu: str = ""
    cpus: int = 1
    memory: int = 0
    boot_mac: str = ""
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    driverless: tuple[str, ...] = ()
