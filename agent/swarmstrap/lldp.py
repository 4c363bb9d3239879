# SPDX-License-Identifier: GPL-2.0-or-later
"""What a switch says of its port: LLDP packets (IEEE 802.1AB-2016, clause 8) taken apart."""

import ipaddress
from collections.abc import Iterator, Mapping
from enum import IntEnum

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Inventory, Neighbour

ETHERTYPE = 0x88CC
# No bridge passes packets to this address on: who is heard is at the other end of the cable.
GROUP = bytes.fromhex("0180c200000e")

_PORT_VLAN = bytes.fromhex("0080c201")  # IEEE 802.1Q-2018, D.2.1
# Subtypes of ids that are no text, tables 8-2 and 8-3.
_CHASSIS_MAC, _CHASSIS_ADDRESS = 4, 5
_PORT_MAC, _PORT_ADDRESS = 3, 4


class _Kind(IntEnum):
    """Types of TLV that are read here, table 8-1."""

    END = 0
    CHASSIS_ID = 1
    PORT_ID = 2
    TIME_TO_LIVE = 3
    PORT_DESCRIPTION = 4
    SYSTEM_NAME = 5
    MANAGEMENT_ADDRESS = 8
    ORGANIZATION = 127


def parse(packet: bytes) -> Neighbour | None:
    """`packet` is what follows the Ethernet header. Nothing for a port that says goodbye.

    Raises BadInput for what is not LLDP, or is cut off.
    """
    values: dict[int, bytes] = {}
    vlan = 0
    for kind, value in _fields(packet):
        if kind == _Kind.ORGANIZATION and value.startswith(_PORT_VLAN):
            vlan = int.from_bytes(value[4:6])
        values.setdefault(kind, value)
    begin = (_Kind.CHASSIS_ID, _Kind.PORT_ID, _Kind.TIME_TO_LIVE)
    if tuple(values)[:3] != begin or len(values[_Kind.TIME_TO_LIVE]) < 2:
        raise BadInput("an LLDP packet without chassis, port and time to live")
    if not any(values[_Kind.TIME_TO_LIVE][:2]):
        return None
    return Neighbour(
        chassis_id=_id(values[_Kind.CHASSIS_ID], _CHASSIS_MAC, _CHASSIS_ADDRESS),
        port_id=_id(values[_Kind.PORT_ID], _PORT_MAC, _PORT_ADDRESS),
        port_description=_text(values.get(_Kind.PORT_DESCRIPTION, b"")),
        system_name=_text(values.get(_Kind.SYSTEM_NAME, b"")),
        management_address=_management(values.get(_Kind.MANAGEMENT_ADDRESS, b"")),
        vlan=vlan,
    )


def with_neighbours(inventory: Inventory, heard: Mapping[str, Neighbour]) -> Inventory:
    """The inventory, each NIC with the neighbour that `heard` has for its name."""
    nics = (
        msgspec.structs.replace(nic, lldp=heard.get(nic.name, nic.lldp))
        for nic in inventory.interfaces
    )
    return msgspec.structs.replace(inventory, interfaces=tuple(nics))


def _fields(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of every TLV up to the end mark; Ethernet pads behind it."""
    at = 0
    while at + 2 <= len(packet):
        head = int.from_bytes(packet[at : at + 2])
        kind, size = head >> 9, head & 0x1FF
        value = packet[at + 2 : at + 2 + size]
        if len(value) < size:
            break
        if kind == _Kind.END:
            return
        yield kind, value
        at += 2 + size
    raise BadInput("an LLDP packet is cut off")


def _id(value: bytes, mac: int, address: int) -> str:
    """The first byte says what the rest is."""
    subtype, rest = value[:1], value[1:]
    if subtype == bytes([mac]) and len(rest) == 6:
        return rest.hex(":")
    if subtype == bytes([address]):
        return _address(rest)
    return _text(rest)


def _management(value: bytes) -> str:
    """The first byte is the length of the address and its family."""
    return _address(value[1 : 1 + value[0]]) if value else ""


def _address(value: bytes) -> str:
    """The first byte is the family, 1 for IPv4 and 2 for IPv6 (IANA address family numbers)."""
    family, rest = value[:1], value[1:]
    if family == b"\1" and len(rest) == 4:
        return str(ipaddress.IPv4Address(rest))
    if family == b"\2" and len(rest) == 16:
        return str(ipaddress.IPv6Address(rest))
    return rest.hex()


def _text(value: bytes) -> str:
    """It ends on consoles and in logs: only printable ASCII is let through."""
    return "".join(chr(c) if 0x20 <= c < 0x7F else "?" for c in value.rstrip(b"\0")).strip()
