# SPDX-License-Identifier: GPL-2.0-or-later
"""Which node of the site is this? Decided from what it says about itself.

That says who a machine is, never what may be done to it: only an operator's arming does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from swarmstrap.errors import Refused
from swarmstrap.hardware import Inventory
from swarmstrap_server.site.words import Node

# Left by board makers who never wrote one: all zeros, all ones, and AMI's sample value.
_MEANINGLESS_UUIDS = frozenset(
    {
        "",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
    }
)


# The same for serial numbers, in lower case and without spaces and punctuation.
_MEANINGLESS_SERIALS = frozenset(
    {
        "",
        "0123456789",
        "123456789",
        "1234567890",
        "chassisserialnumber",
        "default",
        "defaultstring",
        "empty",
        "invalid",
        "na",
        "none",
        "notapplicable",
        "notavailable",
        "notspecified",
        "oem",
        "serialnumber",
        "systemserialnumber",
        "tobefilledbyoem",
        "unknown",
        "unspecified",
    }
)


@dataclass(frozen=True, slots=True)
class Marks:
    """SMBIOS UUID (lower case, empty when unknown), MACs (lower case, colons), SMBIOS serial number
    (upper case, empty when unknown).
    """

    uuid: str
    macs: frozenset[str]
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    name: str
    marks: Marks


def marks(uuid: str, macs: Iterable[str], serial: str = "") -> Marks:
    """Normalised; a UUID or serial number that says nothing is dropped."""
    uuid = uuid.strip().lower()
    return Marks(
        "" if uuid in _MEANINGLESS_UUIDS else uuid,
        frozenset(mac.strip().lower().replace("-", ":") for mac in macs if mac.strip()),
        "" if _says_nothing(serial) else serial.strip().upper(),
    )


def _says_nothing(serial: str) -> bool:
    letters = "".join(filter(str.isalnum, serial.lower()))
    return letters in _MEANINGLESS_SERIALS or len(set(letters)) == 1


def marks_of_inventory(inventory: Inventory) -> Marks:
    macs = [inventory.boot.pxe_interface, *(nic.mac_address for nic in inventory.interfaces)]
    return marks(inventory.system_vendor.uuid, macs, inventory.system_vendor.serial_number)


def marks_of_node(node: Node) -> Marks:
    return marks(node.uuid, node.macs, node.serial)


def fits(seen: Marks, known: Marks) -> bool:
    """Every kind of mark that both sides have must agree, and one kind must be there."""
    comparable = []
    if seen.uuid and known.uuid:
        comparable.append(seen.uuid == known.uuid)
    if seen.macs and known.macs:
        comparable.append(bool(seen.macs & known.macs))
    if seen.serial and known.serial:
        comparable.append(seen.serial == known.serial)
    return bool(comparable) and all(comparable)


def identify(seen: Marks, nodes: Iterable[Known]) -> str | None:
    """The name of the one node that fits; raises Refused when several do."""
    names = sorted(known.name for known in nodes if fits(seen, known.marks))
    if len(names) > 1:
        raise Refused(
            f"this machine fits {len(names)} nodes: {', '.join(names)}",
            hint="give each node its own mac, uuid and serial in the site's node files",
        )
    return names[0] if names else None


class Directory:
    """Many nodes, of which one is found without a look at all: who fits has a mark in common."""

    def __init__(self, nodes: Iterable[Known]) -> None:
        self._by_mark: dict[str, list[Known]] = {}
        for known in nodes:
            for mark in _all(known.marks):
                self._by_mark.setdefault(mark, []).append(known)

    def identify(self, seen: Marks) -> str | None:
        """As `identify` among all of them."""
        found = {k.name: k for mark in _all(seen) for k in self._by_mark.get(mark, ())}
        return identify(seen, found.values())


def _all(marks: Marks) -> Iterator[str]:
    yield from marks.macs
    if marks.uuid:
        yield f"uuid {marks.uuid}"
    if marks.serial:
        yield f"serial {marks.serial}"


def name_for_unknown(seen: Marks, boot_mac: str) -> str:
    """`node-525400123456`, from the NIC it booted from or the first there is."""
    mac = boot_mac.lower().replace("-", ":") or min(seen.macs, default=seen.uuid)
    return f"node-{mac.replace(':', '').replace('-', '')}"
