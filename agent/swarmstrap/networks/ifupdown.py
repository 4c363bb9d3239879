# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of Debian's ifupdown, interfaces(5).

Bonds, bridges and VLANs are made by ip(8), which it always has: the packages that would give it
words for them may not be in the image.
"""

from collections.abc import Iterator, Sequence

from swarmstrap.networks.checks import version_of
from swarmstrap.networks.links import Link, of_key
from swarmstrap.networks.naming import with_names
from swarmstrap.networks.text import link_file, of_version
from swarmstrap.steps.system import WriteFile


def ifupdown(links: Sequence[Link]) -> Iterator[WriteFile]:
    named = with_names(links)
    known = of_key(named)
    lines = ["source /etc/network/interfaces.d/*", "", "auto lo", "iface lo inet loopback"]
    for written, link in zip(links, named, strict=True):
        # Only what others are made of has to have the name of its stanza.
        renamed = bool(written.name or link.is_below)
        if link.spec.kind == "nic" and renamed:
            yield link_file(link)
        if link.spec.kind == "nic" and link.master:
            continue
        # `auto mac/MAC=NAME` (0.8.20) brings up whatever NIC has that MAC as `iface NAME`.
        lines += ["", f"auto {link.name if renamed else f'mac/{link.mac}={link.name}'}"]
        for stanza, (head, *body) in enumerate(_stanzas(link)):
            whole = body if stanza else [*_made(link, known), *body]
            lines += [head, *(f"    {line}" for line in whole)]
        lines += [f"    {line}" for line in _after(link)]
    yield WriteFile("/etc/network/interfaces", "\n".join([*lines, ""]), 0o644)


def _stanzas(link: Link) -> Iterator[list[str]]:
    """Each begins with its head; what is for the interface once goes to the first."""
    spec = link.spec
    servers = [f"dns-nameservers {' '.join(spec.dns)}"] if spec.dns else []
    once = [*servers, *([f"dns-search {' '.join(spec.search)}"] if spec.search else [])]
    if link.dhcp:
        yield [f"iface {link.name} inet dhcp", *once]
        once = []
    if link.is_silent:
        yield [f"iface {link.name} inet manual", "up ip link set dev $IFACE up"]
    for version, family in ((4, "inet"), (6, "inet6")):
        # One default route, however many addresses there are.
        gateway = [f"gateway {address}" for address in of_version(version, spec.gateways)]
        for address in of_version(version, spec.addresses):
            yield [f"iface {link.name} {family} static", f"address {address}", *gateway, *once]
            gateway, once = [], []


def _made(link: Link, known: dict[str, Link]) -> Iterator[str]:
    spec = link.spec
    address = f" address {link.mac}" if link.mac else ""
    if spec.bond:
        rate = f" lacp_rate {spec.bond.lacp_rate}" if spec.bond.lacp_rate else ""
        mode = f"mode {spec.bond.mode} miimon {spec.bond.miimon}{rate}"
        yield f"pre-up ip link add dev $IFACE{address} type bond {mode}"
    if spec.bridge:
        stp = int(spec.bridge.stp)
        yield f"pre-up ip link add dev $IFACE{address} type bridge stp_state {stp}"
    if spec.vlan:
        yield f"pre-up ip link add link {link.lower} dev $IFACE type vlan id {spec.vlan.id}"
    for member in link.members:
        mtu = known[member].spec.mtu
        if mtu and known[member].spec.kind == "nic":
            yield f"pre-up ip link set dev {member} mtu {mtu}"
        # A bond takes no member that is up.
        yield f"pre-up ip link set dev {member} down"
        yield f"pre-up ip link set dev {member} master $IFACE up"
    if spec.mtu:
        yield f"pre-up ip link set dev $IFACE mtu {spec.mtu}"


def _after(link: Link) -> Iterator[str]:
    """Belongs to the last stanza: a route's next hop may need the address of any of them."""
    for route in link.spec.routes:
        to, metric = route.to, f" metric {route.metric}" if route.metric else ""
        yield f"up ip -{version_of(to)} route add {to} via {route.via} dev $IFACE{metric}"
    if link.spec.kind != "nic":
        yield "post-down ip link delete dev $IFACE"
