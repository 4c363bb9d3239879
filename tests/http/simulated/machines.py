# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines of a simulated fleet: names, the files that list them, what they are made of."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from swarmstrap.hardware import FoundPartition, Inventory, Neighbour
from swarmstrap.units import GiB, MiB

RACK = 50
HELD = (
    FoundPartition(
        number=1,
        start=MiB,
        size=512 * MiB,
        type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        name="ESP",
        filesystem="vfat",
    ),
    FoundPartition(
        number=2,
        start=513 * MiB,
        size=886 * GiB,
        type="0fc63daf-8483-4772-8e79-3d69d8477de4",
        name="root",
        filesystem="ext4",
        label="root",
    ),
)
HOLDS = ("gpt", "vfat (nvme0n1p1, label ESP)", "ext4 (nvme0n1p2, label root)")
_INVENTORY = Path(__file__).parents[2] / "inventories" / "nvme-only.json"


def mac(number: int) -> str:
    return f"52:54:00:aa:{number >> 8:02x}:{number & 255:02x}"


def name(number: int) -> str:
    return f"n{number:04}"


def node_files(nodes: int) -> tuple[str, str]:
    """nodes/lab.yaml and groups.yaml of so many nodes in racks of RACK."""
    racks = [range(first, min(first + RACK, nodes + 1)) for first in range(1, nodes + 1, RACK)]
    entries = [
        f"- {{name: 'n[{rack[0]:04}-{rack[-1]:04}]', rack: r{place:02}, "
        f"mac: [{', '.join(repr(mac(number)) for number in rack)}]}}"
        for place, rack in enumerate(racks, start=1)
    ]
    gpu = max(1, nodes // 5)
    groups = (
        f"groups:\n- {{name: gpu, members: ['n[0001-{gpu:04}]']}}\n"
        f"- {{name: compute, members: ['n[{gpu + 1:04}-{nodes:04}]']}}\n"
    )
    return "\n".join(("nodes:", *entries, "")), groups


def inventory(number: int) -> Inventory:
    machine = msgspec.json.decode(_INVENTORY.read_bytes(), type=Inventory)
    port = Neighbour(
        chassis_id="00:1c:73:00:00:01",
        port_id=f"Ethernet{number % RACK}",
        system_name=f"sw-r{number // RACK + 1:02}",
    )
    first, *_ = machine.interfaces
    nic = replace(first, mac_address=mac(number), permanent_mac="", speed_mbps=1000, lldp=port)
    disks = tuple(
        replace(disk, serial=f"S4EV{number:04}{place}", partitions=HELD, signatures=HOLDS)
        if place == 0
        else replace(disk, serial=f"S4EV{number:04}{place}")
        for place, disk in enumerate(machine.disks)
    )
    return replace(
        machine,
        boot=replace(machine.boot, pxe_interface=mac(number), secure_boot=False),
        system_vendor=replace(machine.system_vendor, uuid="", serial_number=f"S{number:07}"),
        disks=disks,
        interfaces=(nic,),
    )


def address(number: int) -> str:
    return f"10.20.{number >> 8}.{number & 255}"
