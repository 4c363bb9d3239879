# SPDX-License-Identifier: GPL-2.0-or-later
"""An interface and the network of the site that it is on become what a node's job says."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.networks.values import Interface, Route, Vlan
from swarmstrap_server.site.words import InterfaceEntry, Network
from swarmstrap_server.site.yamlfile import Misfit, Steps, Value, nearest

Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network
Own = ipaddress.IPv4Interface | ipaddress.IPv6Interface
# 10.1.1.0+17: so many addresses further on, whichever octet that changes.
_COUNTED = re.compile(r"([0-9A-Fa-f.:]+)\+([0-9]{1,9})")
_OPEN = re.compile(r"\{[A-Za-z_]\w*\}")


@dataclass(frozen=True, slots=True)
class Networks:
    """Those of the site by name, and the lines on which they stand."""

    by_name: Mapping[str, Network]
    at: Mapping[str, Callable[[Steps], str]]

    def place(self, name: str, word: str) -> str:
        return self.at[name]((word,))


NONE = Networks({}, {})


def each(given: str | Sequence[str]) -> tuple[str, ...]:
    """Of what is written as one text or as a list."""
    return ((given,) if given else ()) if isinstance(given, str) else tuple(given)


def prefixes(network: Network) -> tuple[Prefix, ...]:
    """Those that are right; the checks speak of others."""
    return tuple(_prefixes(network))


def _prefixes(network: Network) -> Iterator[Prefix]:
    for text in each(network.prefix):
        try:
            yield ipaddress.ip_network(text)
        except ValueError:
            continue


def settled(written: Sequence[InterfaceEntry], networks: Networks) -> tuple[Interface, ...]:
    """Raises Misfit, whose path begins with the interface's position."""
    found = []
    for position, interface in enumerate(written):
        try:
            found.append(_settled(interface, networks))
        except Misfit as error:
            raise Misfit((position, *error.path), error.message, hint=error.hint) from error
    return tuple(found)


def addressed(
    written: Sequence[InterfaceEntry], networks: Networks
) -> tuple[dict[int, Value], dict[str, Value]]:
    """What comes of the addresses of the interfaces that are on a network, by position; and what
    these have from it, by NETWORK.WORD. Raises Misfit.
    """
    addresses: dict[int, Value] = {}
    taken: dict[str, Value] = {}
    for position, interface in enumerate(written):
        if not interface.network:
            continue
        network = _network(interface, networks)
        own = [_own(text, network) for text in interface.addresses]
        words = _taken(interface, network, own)
        if own:
            addresses[position] = [str(address.ip) for address in own]
            words["prefix"] = network.prefix
        if interface.link:
            words["vlan"] = network.vlan
        # As YAML has them, which knows no tuples.
        plain = msgspec.json.decode(msgspec.json.encode(words))
        taken |= {f"{network.name}.{key}": value for key, value in plain.items()}
    return addresses, taken


def _settled(interface: InterfaceEntry, networks: Networks) -> Interface:
    words = msgspec.structs.asdict(interface)
    if not words.pop("network"):
        if words.pop("link"):
            raise Misfit(("link",), "link needs a network with a VLAN; without one write vlan")
        return Interface(**words)
    network = _network(interface, networks)
    own = [_own(text, network) for text in interface.addresses]
    if own:
        words["dhcp"] = bool(interface.dhcp)
    if words.pop("link"):
        words |= _vlan(interface, network)
    elif interface.vlan and network.vlan not in (None, interface.vlan.id):
        raise Misfit(
            ("vlan",), f"VLAN {interface.vlan.id}, and network {network.name} is {network.vlan}"
        )
    return Interface(
        **words | _taken(interface, network, own) | {"addresses": tuple(map(str, own))}
    )


def _network(interface: InterfaceEntry, networks: Networks) -> Network:
    name = interface.network
    known = networks.by_name
    if name not in known:
        raise Misfit(("network",), f"no network {name!r}{nearest(name, list(known))}")
    return known[name]


def _vlan(interface: InterfaceEntry, network: Network) -> dict[str, object]:
    if interface.vlan or interface.bond or interface.bridge or interface.match:
        raise Misfit(("link",), "link makes a VLAN of what is something else already")
    if network.vlan is None:
        raise Misfit(("link",), f"network {network.name} has no vlan")
    vlan = Vlan(id=network.vlan, link=interface.link)
    return {"vlan": vlan, "name": interface.name or f"vlan{network.vlan}"}


def _taken(interface: InterfaceEntry, network: Network, own: Sequence[Own]) -> dict[str, object]:
    """What the interface has from its network. Only an interface with addresses of its own has
    more than the MTU: a lease comes with the rest.
    """
    taken: dict[str, object] = {}
    if interface.mtu is None and network.mtu is not None:
        taken["mtu"] = network.mtu
    if not own:
        return taken
    reached = _reached_from(own)
    gateways = tuple(filter(reached, each(network.gateway)))
    if interface.gateway == "" and gateways:
        taken["gateway"] = gateways
    if not interface.dns and (dns := tuple(filter(_speaks_of(own), network.dns))):
        taken["dns"] = dns
    if not interface.search and network.search:
        taken["search"] = network.search
    routes: tuple[Route, ...] = tuple(route for route in network.routes if reached(route.via))
    if not interface.routes and routes:
        taken["routes"] = routes
    return taken


def _reached_from(own: Sequence[Own]) -> Callable[[str], bool]:
    return lambda host: any(ipaddress.ip_address(host) in address.network for address in own)


def _speaks_of(own: Sequence[Own]) -> Callable[[str], bool]:
    """Not every stack can have a name server of a family in which it has no address."""
    return lambda host: ipaddress.ip_address(host).version in {address.version for address in own}


def _own(text: str, network: Network) -> Own:
    """Raises Misfit for what is no address, and for one that no machine on `network` can have."""
    address, slash, length = text.partition("/")
    try:
        host = _counted(address)
    except BadInput as error:
        raise Misfit(("addresses",), error.message) from error
    name = network.name
    prefix = next((prefix for prefix in prefixes(network) if host in prefix), None)
    if prefix is None:
        known = " and ".join(each(network.prefix)) or "no prefix"
        raise Misfit(("addresses",), f"{host} is not in network {name} ({known})")
    if slash and length != str(prefix.prefixlen):
        raise Misfit(("addresses",), f"{text}: network {name} is {prefix}; leave out the length")
    if not _is_for_one(host, prefix):
        raise Misfit(("addresses",), f"{host} is not for one machine: network {name} is {prefix}")
    if str(host) in each(network.gateway):
        raise Misfit(
            ("addresses",),
            f"{host} is the gateway of network {name}",
            hint="on the gateway itself write the interface without `network`",
        )
    return ipaddress.ip_interface(f"{host}/{prefix.prefixlen}")


def _counted(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if unknown := _OPEN.search(text):
        raise BadInput(f"{text}: nothing says what {unknown[0]} is for this node")
    found = _COUNTED.fullmatch(text)
    base, further = (found[1], int(found[2])) if found else (text, 0)
    try:
        return ipaddress.ip_address(base) + further
    except ValueError:
        raise BadInput(f"{text!r} is not an address") from None


def _is_for_one(host: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: Prefix) -> bool:
    """RFC 3021 leaves no address to the link itself in a /31; IPv6 has no broadcast."""
    if prefix.version == 6 or prefix.prefixlen >= 31:
        return True
    return host not in (prefix.network_address, prefix.broadcast_address)
