# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the networks of a site, and with the addresses that nodes have on them."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations

from swarmstrap.errors import BadInput
from swarmstrap.networks.checks import network_findings
from swarmstrap.networks.values import Interface
from swarmstrap_server.site import ranges
from swarmstrap_server.site.checks import NODE_NAME, Finding, shape
from swarmstrap_server.site.networks import NONE, Networks, Prefix, each, prefixes
from swarmstrap_server.site.words import Network, NetworksFile, Node
from swarmstrap_server.site.yamlfile import Document, Steps

# Any: the words of a network are looked at as those of an interface on it.
_SOME_MAC = "02:00:00:00:00:01"
Claim = tuple[str, str]


def networks_in(files: Sequence[Document[NetworksFile]]) -> tuple[Networks, list[BadInput]]:
    """The networks of all files, and what is wrong with them. With any of that there are none:
    what is said of interfaces would be wrong too.
    """
    found = [
        (network, partial(_place, file, ("networks", position)))
        for file in files
        for position, network in enumerate(file.value.networks)
    ]
    problems = []
    for network, at in found:
        wrong = [f"{at(path)}: {text}" for path, text in _findings(network) if text]
        problems += wrong
    for (one, one_at), (other, other_at) in combinations(found, 2):
        if one.name == other.name:
            problems.append(f"{other_at(())}: network {other.name} is there twice ({one_at(())})")
        for mine in prefixes(one):
            for prefix in prefixes(other):
                if mine.version == prefix.version and mine.overlaps(prefix):
                    problems.append(
                        f"{other_at(('prefix',))}: {prefix} overlaps {mine} of network {one.name} "
                        f"({one_at(('prefix',))})"
                    )
    if problems:
        return NONE, [BadInput(text) for text in dict.fromkeys(problems)]
    by_name = {network.name: network for network, _ in found}
    return Networks(by_name, {network.name: at for network, at in found}), []


def _place(file: Document[NetworksFile], base: Steps, path: Steps) -> str:
    return file.place((*base, *path))


def _findings(network: Network) -> Iterator[Finding]:
    yield ("name",), shape(network.name, NODE_NAME, "a network's name")
    wrong = [_prefix(text) for text in each(network.prefix)]
    yield from ((("prefix",), complaint) for complaint in wrong)
    if any(wrong):
        return
    known = prefixes(network)
    if len({prefix.version for prefix in known}) < len(known):
        yield ("prefix",), "one prefix for IPv4 and one for IPv6 at most"
        return
    gateways = [(("gateway",), _gateway(text, known)) for text in each(network.gateway)]
    yield from gateways
    if len(each(network.gateway)) > len(known) > 0:
        yield ("gateway",), "one gateway for each prefix at most"
    # Whichever address it is that an interface has there.
    somebody = Interface(
        mac=_SOME_MAC,
        addresses=tuple(f"{prefix.network_address}/{prefix.prefixlen}" for prefix in known),
        dns=network.dns,
        search=network.search,
        routes=network.routes,
        mtu=network.mtu,
    )
    for (_, *path), complaint in network_findings((somebody,)):
        yield tuple(path), complaint


def _prefix(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f"{text!r} is not a prefix, as in 10.1.0.0/16"
        return f"{text!r} is an address in a prefix, did you mean '{meant}'?"
    return "" if "/" in text else f"{text!r} lacks its length, as in 10.1.0.0/16"


def _gateway(text: str, known: Sequence[Prefix]) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"{text!r} is not an address"
    if address.is_link_local or any(address in prefix for prefix in known):
        return ""
    return f"{text} is not in {' or '.join(map(str, known)) or 'a prefix: there is none'}"


def claims(node: Node) -> Iterator[tuple[int, str]]:
    """Its addresses that no other node may have, with the position of the interface."""
    for position, interface in enumerate(node.network):
        # What no cable leads to may be alike on every node.
        if interface.bridge is not None and not interface.bridge.members:
            continue
        for text in interface.addresses:
            try:
                address = ipaddress.ip_interface(text).ip
            except ValueError:
                continue
            if not (address.is_link_local or address.is_loopback):
                yield position, str(address)


def shared_addresses(claimed: Mapping[str, Sequence[Claim]]) -> Iterator[str]:
    """`claimed` has node and place of all who have an address: one complaint for the lines that
    make several nodes have the same one, however often they do.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for address, having in claimed.items():
        if len(having) > 1:
            places = tuple(dict.fromkeys(place for _, place in having))
            alike.setdefault(places, []).append(address)
    for (place, *others), addresses in alike.items():
        owners = ranges.fold(node for node, _ in claimed[addresses[0]])
        more = f", and {len(addresses) - 1} more like it" if addresses[1:] else ""
        elsewhere = f" ({', '.join(others)})" if others else ""
        yield f"{place}: {addresses[0]} is the address of {owners}{elsewhere}{more}"


def address_of_another(nodes: Mapping[str, Node], name: str) -> str:
    """A complaint about an address of `name` that another node has."""
    mine = {address for _, address in claims(nodes[name])}
    for other, node in nodes.items():
        for _, address in claims(node) if other != name and mine else ():
            if address in mine:
                return f"{address} of {name} is also that of {other}"
    return ""
