# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interface stands on which: names, members, VLANs, and what is wrong with that."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

from swarmstrap.networks.values import Interface

Finding = tuple[tuple[str | int, ...], str]

_ETHERNET_MTU = 1500


def wiring_findings(network: Sequence[Interface]) -> Iterator[Finding]:
    """What is wrong between interfaces that are right by themselves."""
    doubled = list(_doubled(network))
    if doubled:
        yield from doubled
        return
    known = by_reference(network)
    masters = Counter(_same(member, known) for i in network for member in i.members)
    trunks = carriers(network)
    for position, interface in enumerate(network):
        for path, complaint in (
            *_below(interface, known),
            *_members(interface, known, masters, trunks),
            ((), _loop(interface, known)),
            ((), _silent(interface, masters, trunks)),
            (("mtu",), _mtu(interface, known)),
        ):
            if complaint:
                yield (position, *path), complaint


def by_reference(network: Sequence[Interface]) -> dict[str, Interface]:
    """Every interface by its name, a NIC also by its MAC."""
    names = {interface.name: interface for interface in network if interface.name}
    macs = {interface.mac: interface for interface in network if interface.is_nic and interface.mac}
    return names | macs


def carriers(network: Sequence[Interface]) -> frozenset[str]:
    """What VLANs stand on, each by all of its references."""
    known = by_reference(network)
    links = {i.vlan.link for i in network if i.vlan}
    return frozenset(word for link in links for word in (link, _same(link, known)))


def _same(reference: str, known: dict[str, Interface]) -> str:
    """One word for an interface, however it is referred to."""
    return str(known[reference]) if reference in known else reference


def _doubled(network: Sequence[Interface]) -> Iterator[Finding]:
    seen: set[str] = set()
    for position, interface in enumerate(network):
        for key in ("name", "mac"):
            word = getattr(interface, key)
            if word and (key == "name" or interface.is_nic):
                if word in seen:
                    yield (position, key), f"{key} {word} is there twice"
                seen.add(word)
    tags: set[tuple[str, int]] = set()
    known = by_reference(network)
    for position, interface in enumerate(network):
        if interface.vlan:
            tag = (_same(interface.vlan.link, known), interface.vlan.id)
            if tag in tags:
                yield (position, "vlan"), f"VLAN {tag[1]} of {tag[0]} is there twice"
            tags.add(tag)


def _word(interface: Interface) -> str:
    return "bond" if interface.bond else "bridge" if interface.bridge else "vlan"


def _below(interface: Interface, known: dict[str, Interface]) -> Iterator[Finding]:
    word = _word(interface)
    for reference in interface.below:
        found = known.get(reference)
        if found is interface:
            yield (word,), f"{interface.name} is in itself"
        elif found is None and ":" not in reference:
            near = difflib.get_close_matches(reference, known, n=1)
            guess = f", did you mean {near[0]!r}?" if near else ""
            yield (word,), f"no interface {reference!r}{guess}"
        elif found is not None and (interface.bond and not found.is_nic):
            yield (word,), f"{found} is not a NIC, and a bond is made of NICs"
        elif found is not None and (interface.bridge and found.bridge):
            yield (word,), f"{found} is a bridge, too, and bridges do not nest"
        elif found is not None and (interface.vlan and found.vlan):
            yield (word,), f"{found} is a VLAN, too, and VLANs do not nest"


def _members(
    interface: Interface,
    known: dict[str, Interface],
    masters: Counter[str],
    trunks: frozenset[str],
) -> Iterator[Finding]:
    for member in sorted({_same(member, known) for member in interface.members}):
        if masters[member] > 1:
            yield (_word(interface),), f"{member} is a member for the second time"
        if interface.bond and member in trunks:
            yield ("bond",), f"{member} carries a VLAN: put it on {interface.name}"


def _loop(interface: Interface, known: dict[str, Interface]) -> str:
    """A path down that comes back, but for the shortest, which is told apart."""
    paths: list[tuple[str, ...]] = [
        (reference,) for reference in interface.below if known.get(reference) != interface
    ]
    while paths:
        path = paths.pop()
        for reference in known[path[-1]].below if path[-1] in known else ():
            if known.get(reference) is interface:
                return f"{interface.name} is in itself, through {' and '.join(path)}"
            if reference not in path:
                paths.append((*path, reference))
    return ""


def _silent(interface: Interface, masters: Counter[str], trunks: frozenset[str]) -> str:
    me = str(interface)
    if masters[me]:
        return f"{me} is a member: addresses belong to what it is in" if interface.speaks else ""
    lonely = not interface.bridge and me not in trunks
    if interface.dhcp is False and not interface.addresses and lonely:
        return "dhcp: false needs addresses"
    return ""


def _mtu(interface: Interface, known: dict[str, Interface]) -> str:
    if not interface.vlan or not interface.mtu:
        return ""
    link = known.get(interface.vlan.link)
    room = (link.mtu if link else None) or _ETHERNET_MTU
    if interface.mtu <= room:
        return ""
    return f"MTU {interface.mtu} does not fit through {interface.vlan.link}, which has {room}"
