# SPDX-License-Identifier: GPL-2.0-or-later
"""An inventory for a person who writes a layout: what can be matched stands beside its key."""

from collections.abc import Iterator, Sequence

from swarmstrap.hardware import Disk, Inventory, Nic
from swarmstrap.hints import TEXT_KEYS
from swarmstrap.selectors import unfit
from swarmstrap.tables import name_type
from swarmstrap.units import human


def describe(inventory: Inventory) -> Iterator[str]:
    """Lines; what belongs to the one above is indented by two spaces."""
    yield from _machine(inventory)
    for disk in inventory.disks:
        yield from _disk(disk, inventory.disks)
    for nic in inventory.interfaces:
        yield from _nic(nic)
    for device in inventory.driverless:
        yield f"no driver for {device}"


def _machine(inventory: Inventory) -> Iterator[str]:
    machine, boot, cpu = inventory.system_vendor, inventory.boot, inventory.cpu
    named = f"{machine.manufacturer} {machine.product_name}".strip()
    serial = machine.serial_number and f"serial {machine.serial_number}"
    yield _list(named, serial, machine.uuid and f"UUID {machine.uuid}") or "unknown machine"
    yield _list(
        boot.current_boot_mode.upper(),
        {True: "Secure Boot on", False: "Secure Boot off", None: ""}[boot.secure_boot],
        boot.pxe_interface and f"booted by {boot.pxe_interface}",
    )
    yield _list(
        f"{cpu.count} x {cpu.model_name or 'unknown CPU'}",
        cpu.architecture,
        f"{human(inventory.memory.total)} of memory",
    )


def _disk(disk: Disk, disks: Sequence[Disk]) -> Iterator[str]:
    sectors = f"{disk.logical_sector} bytes"
    if disk.physical_sector != disk.logical_sector:
        sectors += f", in fact {disk.physical_sector}"
    turning = "rotational" if disk.rotational else "not rotational"
    yield f"{disk.name}: {human(disk.size)}, {turning}, sectors of {sectors}"
    said = ((key, getattr(disk, key)) for key in TEXT_KEYS if key not in ("by_path", "name"))
    if line := _list(*(f"{key} {value}" for key, value in said if value)):
        yield f"  {line}"
    if disk.by_path:
        yield f"  by_path {disk.by_path}"
    for link in disk.links:
        if link != disk.by_path:
            yield f"  name {link}"
    if disk.signatures:
        yield f"  holds {_list(*disk.signatures)}"
    for part in disk.partitions:
        holds = part.filesystem and f"{part.filesystem} {part.label}".strip()
        kind, size = name_type(part.type), human(part.size)
        yield f"  partition {_list(f'{part.number} {part.name}'.strip(), kind, size, holds)}"
    if reason := unfit(disk, disks, release=True):
        yield f"  never chosen: {reason}"
    elif reason := unfit(disk, disks):
        yield f"  only with `wipe: anything`: {reason}"
    elif disk.removable:
        yield "  removable"


def _nic(nic: Nic) -> Iterator[str]:
    speed = f"{nic.speed_mbps} Mbit/s" if nic.speed_mbps else "link"
    yield f"{nic.name}: " + _list(
        nic.mac_address,
        nic.permanent_mac not in ("", nic.mac_address) and f"by itself {nic.permanent_mac}",
        nic.driver or "no driver",
        speed if nic.has_carrier else "no link",
        nic.pci_address,
        nic.vendor and f"{nic.vendor[2:]}:{nic.product[2:]}",
    )
    if nic.addresses:
        yield f"  {_list(*nic.addresses)}"
    if nic.lldp:
        yield f"  at {nic.lldp}"


def _list(*parts: str | bool) -> str:
    return ", ".join(str(part) for part in parts if part)
