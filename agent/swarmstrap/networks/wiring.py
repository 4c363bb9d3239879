# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interface stands on which: names, members, VLANs, and what is wrong with that."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap.networks.values import Interface, Kind

Finding = tuple[tuple[str | int, ...], str]

_MADE_OF: Mapping[Kind, frozenset[Kind]] = {
    "bond": frozenset({"nic"}),
    "bridge": frozenset({"nic", "bond", "vlan"}),
    "vlan": frozenset({"nic", "bond", "bridge"}),
}
_ETHERNET_MTU = 1500


@dataclass(frozen=True, slots=True)
class _Wiring:
    """Interfaces by every reference; each member with the first that has it; what carries VLANs."""

    known: Mapping[str, Interface]
    owners: Mapping[str, str]
    trunks: frozenset[str]

    def one(self, reference: str) -> str:
        """One word for an interface, however it is referred to."""
        return str(self.known.get(reference, reference))


def wiring_findings(network: Sequence[Interface]) -> Iterator[Finding]:
    """What is wrong between interfaces that are right by themselves."""
    wiring = _wiring(network)
    first = [*_doubled(network, wiring), *_looped(network, wiring)]
    yield from first
    if first:
        return
    for position, interface in enumerate(network):
        for complaint in (*_below(interface, wiring), *_members(interface, wiring)):
            yield (position, interface.kind), complaint
        if complaint := _own_words(interface, wiring):
            yield (position,), complaint
        if complaint := _mtu(interface, wiring):
            yield (position, "mtu"), complaint


def by_reference(network: Sequence[Interface]) -> dict[str, Interface]:
    """Every interface by its name, a NIC also by its MAC."""
    names = {interface.name: interface for interface in network if interface.name}
    nics = (interface for interface in network if interface.kind == "nic")
    return names | {interface.mac: interface for interface in nics if interface.mac}


def carriers(network: Sequence[Interface]) -> frozenset[str]:
    """What VLANs stand on, by name or else by MAC."""
    known = by_reference(network)
    return frozenset(str(known.get(i.vlan.link, i.vlan.link)) for i in network if i.vlan)


def _wiring(network: Sequence[Interface]) -> _Wiring:
    known = by_reference(network)
    owners: dict[str, str] = {}
    for interface in network:
        for member in interface.members:
            owners.setdefault(str(known.get(member, member)), interface.name)
    return _Wiring(known, owners, carriers(network))


def _doubled(network: Sequence[Interface], wiring: _Wiring) -> Iterator[Finding]:
    seen: set[str | tuple[str, int]] = set()
    for position, interface in enumerate(network):
        words: dict[str, str | tuple[str, int]] = {}
        if interface.name:
            words["name"] = interface.name
        if interface.mac and interface.kind == "nic":
            words["mac"] = interface.mac
        if interface.vlan:
            words["vlan"] = (wiring.one(interface.vlan.link), interface.vlan.id)
        for key, word in words.items():
            if word in seen:
                shown = word if isinstance(word, str) else f"{word[1]} of {word[0]}"
                yield (position, key), f"{key} {shown} is there twice"
            seen.add(word)


def _looped(network: Sequence[Interface], wiring: _Wiring) -> Iterator[Finding]:
    """One of those that are made of themselves, if there is one."""
    for position, interface in enumerate(network):
        paths: list[tuple[str, ...]] = [(str(interface),)]
        seen = {str(interface)}
        while paths:
            path = paths.pop()
            last = wiring.known.get(path[-1])
            for below in map(wiring.one, last.below if last else ()):
                if below == str(interface):
                    through = f", through {' and '.join(path[1:])}" if path[1:] else ""
                    yield (position, interface.kind), f"{interface} is in itself{through}"
                    return
                if below not in seen:
                    seen.add(below)
                    paths.append((*path, below))


def _below(interface: Interface, wiring: _Wiring) -> Iterator[str]:
    for reference in interface.below:
        found = wiring.known.get(reference)
        if found is None and ":" not in reference:
            near = difflib.get_close_matches(reference, wiring.known, n=1)
            yield f"no interface {reference!r}" + (f", did you mean {near[0]!r}?" if near else "")
        elif found is not None and found.kind not in _MADE_OF[interface.kind]:
            yield f"{found} is a {found.kind}, of which no {interface.kind} can be made"


def _members(interface: Interface, wiring: _Wiring) -> Iterator[str]:
    members = [wiring.one(member) for member in interface.members]
    for member in sorted(set(members)):
        if wiring.owners[member] != interface.name or members.count(member) > 1:
            yield f"{member} is a member for the second time"
        if interface.bond and member in wiring.trunks:
            yield f"{member} carries a VLAN: put it on {interface.name}"


def _own_words(interface: Interface, wiring: _Wiring) -> str:
    me = str(interface)
    if me in wiring.owners:
        return f"{me} is a member: addresses belong to what it is in" if interface.speaks else ""
    serves = interface.bridge or me in wiring.trunks
    if interface.dhcp is False and not interface.addresses and not serves:
        return "dhcp: false needs addresses"
    return ""


def _mtu(interface: Interface, wiring: _Wiring) -> str:
    if not interface.vlan or not interface.mtu:
        return ""
    link = wiring.known.get(interface.vlan.link)
    room = (link.mtu if link else None) or _ETHERNET_MTU
    if interface.mtu <= room:
        return ""
    return f"MTU {interface.mtu} does not fit through {interface.vlan.link}, which has {room}"
