# SPDX-License-Identifier: GPL-2.0-or-later
"""A written network on one machine: every NIC found, every reference followed, in order.

NICs are known by their MAC: what the kernel calls them depends on the system that asks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Nic
from swarmstrap.networks.checks import check_network
from swarmstrap.networks.values import Interface, NicMatch
from swarmstrap.networks.wiring import by_reference, carriers


@dataclass(frozen=True, slots=True)
class Link:
    """One interface. `key` is its name, or the MAC's digits of a NIC without one.

    `mac` is that of the NIC, or what a bond or bridge is to take. The others are keys: of members,
    of the bond or bridge that it is in, of what this VLAN is on, of the VLANs that are on it.
    """

    key: str
    mac: str
    dhcp: bool
    spec: Interface
    members: tuple[str, ...] = ()
    master: str = ""
    lower: str = ""
    vlans: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_below(self) -> bool:
        """Whether another interface is made of it, and shares its MAC."""
        return bool(self.master or self.vlans)

    @property
    def is_silent(self) -> bool:
        """Whether it has no address of its own."""
        return not self.dhcp and not self.spec.addresses


def make_links(network: Sequence[Interface], nics: Sequence[Nic]) -> tuple[Link, ...]:
    """Whatever stands on another comes after it; raises Unplannable when a NIC is not found.

    Raises BadInput when two interfaces found the same. `network` was checked. A MAC that no NIC
    has is taken as it is: its driver may be the image's.
    """
    found = [_find(interface, nics) for interface in network]
    check_network(found)
    listed, trunks = by_reference(found), carriers(found)
    below = dict.fromkeys(reference for interface in found for reference in interface.below)
    bare = [Interface(mac=reference) for reference in below if reference not in listed]
    whole = (*bare, *found)
    known = by_reference(whole)
    masters = {key(known[member]): i.name for i in whole for member in i.members}
    links = []
    for interface in _ordered(whole, known):
        me = key(interface)
        used = me in masters or str(interface) in trunks
        link = Link(
            key=me,
            mac=interface.mac,
            dhcp=not used if interface.dhcp is None else interface.dhcp,
            spec=interface,
            members=tuple(key(known[member]) for member in interface.members),
            master=masters.get(me, ""),
            lower=key(known[interface.vlan.link]) if interface.vlan else "",
        )
        links.append(link)
    return tuple(
        replace(link, vlans=tuple(other.key for other in links if other.lower == link.key))
        for link in links
    )


def key(interface: Interface) -> str:
    return interface.name or interface.mac.replace(":", "")


def of_key(links: Sequence[Link]) -> dict[str, Link]:
    return {link.key: link for link in links}


def _ordered(network: Sequence[Interface], known: Mapping[str, Interface]) -> Iterator[Interface]:
    waiting = list(network)
    done: set[str] = set()
    while waiting:
        ready = [i for i in waiting if all(key(known[r]) in done for r in i.below)]
        assert ready, "a checked network has no loops"
        yield from ready
        done |= {key(interface) for interface in ready}
        waiting = [interface for interface in waiting if interface not in ready]


def _find(interface: Interface, nics: Sequence[Nic]) -> Interface:
    """With the permanent MACs of NICs in place of whatever else they are known by."""
    mac, bond, bridge, vlan = interface.mac, interface.bond, interface.bridge, interface.vlan
    if interface.match:
        macs = _fitting(interface.match, nics, interface)
        if len(macs) > 1:
            raise Unplannable(
                f"network of {interface}: {len(macs)} NICs are {_spoken(interface.match)}: "
                f"{', '.join(macs)}",
                hint="add pci_address to match, or name it by its mac",
            )
        mac = macs[0]
    elif interface.kind == "nic":
        mac = _permanent(mac, nics)
    members = tuple(_permanent(member, nics) for member in interface.members)
    if bond:
        members = _fitting(bond.match, nics, interface) if bond.match else members
        bond = msgspec.structs.replace(bond, members=members, match=None)
    if bridge:
        bridge = msgspec.structs.replace(bridge, members=members)
    if vlan:
        vlan = msgspec.structs.replace(vlan, link=_permanent(vlan.link, nics))
    return msgspec.structs.replace(
        interface, mac=mac, match=None, bond=bond, bridge=bridge, vlan=vlan
    )


def _permanent(reference: str, nics: Sequence[Nic]) -> str:
    """The installer's kernel may have been told another."""
    same = (nic for nic in nics if nic.mac_address == reference)
    return next((nic.permanent_mac or reference for nic in same), reference)


def _fitting(match: NicMatch, nics: Sequence[Nic], interface: Interface) -> tuple[str, ...]:
    macs = tuple(nic.permanent_mac or nic.mac_address for nic in nics if _fits(match, nic))
    if not macs:
        there = "; ".join(f"{nic.mac_address} {_described(nic)}" for nic in nics)
        raise Unplannable(
            f"network of {interface}: no NIC is {_spoken(match)}",
            hint=f"the node has {there or 'no NIC'}",
        )
    return macs


def _fits(match: NicMatch, nic: Nic) -> bool:
    return all(getattr(nic, word) == text for word, text in _given(match))


def _given(match: NicMatch) -> list[tuple[str, str]]:
    return [(word, text) for word, text in msgspec.structs.asdict(match).items() if text]


def _spoken(match: NicMatch) -> str:
    return ", ".join(f"{word} {text}" for word, text in _given(match))


def _described(nic: Nic) -> str:
    return f"{nic.driver or 'without a driver'} {nic.pci_address}".strip()
