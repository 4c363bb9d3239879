# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodes of a rehearsal: words of the command line made into virtual nodes. Pure."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID, uuid5

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Firmware
from swarmstrap.units import Bytes
from swarmstrap_server.lab.machines import Bus, Nic, VirtualNode

DEFAULT = ("bios,virtio-blk", "uefi,nvme", "uefi,sata")

# Any fixed namespace does: the same node gets the same UUID in every rehearsal.
_NAMESPACE = UUID("5b0a5c0e-6d0c-4c55-9c0e-7c9a5d5f1e01")
_SHORT = {"virtio-blk": "virtio", "virtio-scsi": "scsi"}


def parse(specs: Sequence[str], *, memory: Bytes, disk: Bytes, cpus: int) -> list[VirtualNode]:
    """One node per `FIRMWARE,BUS[,NIC]`, as in `uefi,nvme` or `bios,sata,e1000`.

    `memory` and `disk` are bytes. Raises BadInput for words that no virtual node knows.
    """
    if not specs:
        raise BadInput("a rehearsal needs a node", hint="as in --node uefi,nvme")
    nodes: list[VirtualNode] = []
    for number, spec in enumerate(specs, start=1):
        firmware, bus, nic = _words(spec)
        plain = f"{firmware}-{_SHORT.get(bus, bus)}"
        taken = {node.name for node in nodes}
        name = plain if plain not in taken else f"{plain}-{number}"
        nodes.append(
            VirtualNode(
                name=name,
                mac=f"52:54:00:77:00:{number:02x}",
                uuid=str(uuid5(_NAMESPACE, name)),
                firmware=cast("Firmware", firmware),
                bus=cast("Bus", bus),
                nic=cast("Nic", nic),
                disk=disk,
                memory=memory,
                cpus=cpus,
            )
        )
    return nodes


def _words(spec: str) -> tuple[str, str, str]:
    match spec.split(","):
        case [firmware, bus]:
            return firmware, bus, "virtio-net-pci"
        case [firmware, bus, nic]:
            return firmware, bus, nic
        case _:
            raise BadInput(
                f"not a node: {spec!r}", hint="write FIRMWARE,BUS[,NIC], as in uefi,nvme,e1000e"
            )
