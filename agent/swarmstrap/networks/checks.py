# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a written network, whichever machine and stack it is for.

A finding is the place within the list of interfaces and a complaint. Values that end in another
program's configuration are narrowed here, and only then pasted.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

from swarmstrap.errors import BadInput
from swarmstrap.networks.values import Bond, Interface, NicMatch, Route
from swarmstrap.networks.wiring import Finding, wiring_findings

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
# The kernel takes 15 bytes of anything (IFNAMSIZ of linux/if.h); these no tool misreads.
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,14}")
_COUNTED_UP = re.compile(r"(?:eth|wlan|usb)\d+|lo|all|default")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9-]{1,63})*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.-]*")
# RFC 8200, section 5.
_IPV6_MTU = 1280


def check_network(network: Sequence[Interface]) -> None:
    """Raises BadInput for the first finding."""
    for (position, *_), complaint in network_findings(network):
        assert isinstance(position, int), "a place begins with the interface's"
        raise BadInput(
            f"network of {network[position]}: {complaint}",
            hint="correct `network` in the node's file",
        )


def network_findings(network: Sequence[Interface]) -> list[Finding]:
    """How interfaces stand to each other is looked at once each is right by itself."""
    alone = [
        ((position, *path), complaint)
        for position, interface in enumerate(network)
        for path, complaint in _interface(interface)
        if complaint
    ]
    return alone or list(wiring_findings(network))


def _interface(interface: Interface) -> Iterator[Finding]:
    if complaint := _kind(interface):
        yield (), complaint
        return
    yield ("name",), _name(interface)
    if interface.mac and not _MAC.fullmatch(interface.mac):
        yield ("mac",), f"{interface.mac!r} is not a MAC address in lower case"
    if interface.match:
        yield ("match",), _match(interface.match)
    for reference in interface.below:
        if ":" in reference and not _MAC.fullmatch(reference):
            yield (), f"{reference!r} is not a MAC address in lower case"
    if interface.bond:
        yield ("bond",), _bond(interface.bond)
    yield from _addresses(interface)
    for position, route in enumerate(interface.routes):
        yield ("routes", position), _route(route, interface)
    for server in interface.dns:
        yield ("dns",), _host(server)
    for domain in interface.search:
        if not _DOMAIN.fullmatch(domain):
            yield ("search",), f"{domain!r} is not a domain"


def _kind(interface: Interface) -> str:
    made = [word for word in ("bond", "bridge", "vlan") if getattr(interface, word) is not None]
    if len(made) > 1:
        return f"{made[0]} and {made[1]} are two interfaces"
    if not made:
        return "" if bool(interface.mac) != bool(interface.match) else "a NIC needs mac or match"
    if not interface.name:
        return f"a {made[0]} needs a name"
    if interface.match:
        return f"match finds a NIC, and {interface.name} is a {made[0]}"
    if interface.vlan and interface.mac:
        return "a VLAN has the MAC of its link"
    return ""


def _name(interface: Interface) -> str:
    if interface.name and not _NAME.fullmatch(interface.name):
        return f"{interface.name!r} is not a name: a letter, then 14 of a-z 0-9 . _ - at most"
    if _COUNTED_UP.fullmatch(interface.name):
        return f"{interface.name!r} is given out by the kernel, so another may have it at that time"
    return ""


def _match(match: NicMatch) -> str:
    given = [
        text for text in (match.driver, match.pci_address, match.vendor, match.product) if text
    ]
    if not given:
        return "match says nothing, and would fit every NIC"
    wrong = [text for text in given if not _WORD.fullmatch(text)]
    return f"{wrong[0]!r} cannot be part of a NIC's description" if wrong else ""


def _bond(bond: Bond) -> str:
    if bool(bond.members) == bool(bond.match):
        return "a bond needs members or match"
    if bond.lacp_rate and bond.mode != "802.3ad":
        return f"lacp_rate is for mode 802.3ad, and this is {bond.mode}"
    return _match(bond.match) if bond.match else ""


def _addresses(interface: Interface) -> Iterator[Finding]:
    for address in interface.addresses:
        complaint = _own(address)
        yield ("addresses",), complaint
        if complaint:
            return
    if len(set(interface.addresses)) < len(interface.addresses):
        yield ("addresses",), "an address is there twice"
    versions = [version_of(gateway) for gateway in interface.gateways if not _host(gateway)]
    if len(set(versions)) < len(versions):
        yield ("gateway",), "one gateway for IPv4 and one for IPv6 at most"
    for gateway in interface.gateways:
        yield ("gateway",), _host(gateway) or _next_hop(gateway, interface)
    if interface.mtu and interface.mtu < _IPV6_MTU and any(":" in a for a in interface.addresses):
        yield ("mtu",), f"IPv6 needs an MTU of {_IPV6_MTU} at least"


def version_of(address: str) -> int:
    """4 or 6, of an address with or without its prefix length."""
    return ipaddress.ip_interface(address).version


def _route(route: Route, interface: Interface) -> str:
    try:
        network = ipaddress.ip_network(route.to)
    except ValueError:
        return f"{route.to!r} is not a network, as in 198.51.100.0/24"
    if complaint := _host(route.via):
        return complaint
    if network.prefixlen == 0:
        return f"a route to {route.to} is a gateway: write it as one"
    if network.version != version_of(route.via):
        return f"{route.to} cannot be reached via {route.via}"
    return _next_hop(route.via, interface)


def _next_hop(host: str, interface: Interface) -> str:
    """What only a lease makes reachable comes with that lease, and is not written."""
    address = ipaddress.ip_address(host)
    own = [ipaddress.ip_interface(text).network for text in interface.addresses]
    if address.is_link_local or any(address in network for network in own):
        return ""
    near = ", ".join(str(network) for network in own if network.version == address.version)
    return f"{host} is not in a subnet of this interface ({near or 'it has none of that kind'})"


def _own(text: str) -> str:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return f"{text!r} is not an address with a prefix, as in 192.0.2.7/24"
    return "" if "/" in text else f"{text!r} lacks the prefix length, as in 192.0.2.7/24"


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"{text!r} is not an address"
    # A zone is another machine's name of a NIC.
    return f"{text!r}: leave out what follows %" if "%" in text else ""
