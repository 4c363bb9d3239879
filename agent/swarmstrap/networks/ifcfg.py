# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of Red Hat's network-scripts (sysconfig.txt of initscripts), up to its release 8."""

import ipaddress
from collections.abc import Iterator, Sequence

from swarmstrap.networks.checks import version_of
from swarmstrap.networks.links import Link, of_key
from swarmstrap.networks.naming import with_names
from swarmstrap.networks.text import inexpressible, of_version
from swarmstrap.steps.system import WriteFile

_FOLDER = "/etc/sysconfig/network-scripts"


def ifcfg(links: Sequence[Link]) -> Iterator[WriteFile]:
    """A NIC with HWADDR takes the name of its DEVICE, by initscripts' own rule for udev."""
    named = with_names(links)
    known = of_key(named)
    for written, link in zip(links, named, strict=True):
        _check(written, link.lower)
        lines = [*_interface(link, known.get(link.master)), *_ipv4(link), *_ipv6(link), *_dns(link)]
        yield WriteFile(f"{_FOLDER}/ifcfg-{link.name}", "\n".join([*lines, ""]), 0o644)
        for version, name in ((4, "route"), (6, "route6")):
            routes = [
                f"{route.to} via {route.via} dev {link.name}"
                + (f" metric {route.metric}" if route.metric else "")
                for route in link.spec.routes
                if version_of(route.to) == version
            ]
            if routes:
                path = f"{_FOLDER}/{name}-{link.name}"
                yield WriteFile(path, "\n".join([*routes, ""]), 0o644)


def _check(link: Link, lower: str) -> None:
    vlan = link.spec.vlan
    if vlan and link.name not in (f"vlan{vlan.id}", f"{lower}.{vlan.id}"):
        raise inexpressible(
            "network-scripts",
            link,
            "a VLAN of that name",
            f"call it vlan{vlan.id} or {lower}.{vlan.id}",
        )
    if link.dhcp and of_version(4, link.spec.addresses):
        raise inexpressible(
            "network-scripts",
            link,
            "DHCP and IPv4 addresses on one interface",
            "write `dhcp: false`, or leave out the addresses",
        )


def _interface(link: Link, master: Link | None) -> Iterator[str]:
    spec = link.spec
    yield f"DEVICE={link.name}"
    yield f"TYPE={'Ethernet' if spec.kind == 'nic' else spec.kind.title()}"
    yield "ONBOOT=yes"
    if link.mac:
        yield f"{'HWADDR' if spec.kind == 'nic' else 'MACADDR'}={link.mac}"
    if spec.mtu:
        yield f"MTU={spec.mtu}"
    if spec.bond:
        rate = f" lacp_rate={spec.bond.lacp_rate}" if spec.bond.lacp_rate else ""
        yield "BONDING_MASTER=yes"
        yield f'BONDING_OPTS="mode={spec.bond.mode} miimon={spec.bond.miimon}{rate}"'
    if spec.bridge:
        yield f"STP={'yes' if spec.bridge.stp else 'no'}"
    if spec.vlan:
        yield "VLAN=yes"
        yield f"VLAN_ID={spec.vlan.id}"
        yield f"PHYSDEV={link.lower}"
    if master and master.spec.bond:
        yield f"MASTER={master.name}"
        yield "SLAVE=yes"
    elif master:
        yield f"BRIDGE={master.name}"


def _ipv4(link: Link) -> Iterator[str]:
    yield f"BOOTPROTO={'dhcp' if link.dhcp else 'none'}"
    for number, address in enumerate(of_version(4, link.spec.addresses)):
        own = ipaddress.ip_interface(address)
        count = number or ""
        yield f"IPADDR{count}={own.ip}"
        yield f"PREFIX{count}={own.network.prefixlen}"
    yield from (f"GATEWAY={gateway}" for gateway in of_version(4, link.spec.gateways))


def _ipv6(link: Link) -> Iterator[str]:
    addresses = of_version(6, link.spec.addresses)
    if not addresses and not link.dhcp:
        return
    yield "IPV6INIT=yes"
    yield f"IPV6_AUTOCONF={'yes' if link.dhcp else 'no'}"
    if addresses:
        yield f"IPV6ADDR={addresses[0]}"
    if addresses[1:]:
        yield f'IPV6ADDR_SECONDARIES="{" ".join(addresses[1:])}"'
    for gateway in of_version(6, link.spec.gateways):
        local = ipaddress.ip_address(gateway).is_link_local
        yield f"IPV6_DEFAULTGW={gateway}{f'%{link.name}' if local else ''}"


def _dns(link: Link) -> Iterator[str]:
    yield from (f"DNS{number}={server}" for number, server in enumerate(link.spec.dns, start=1))
    if link.spec.search:
        yield f'DOMAIN="{" ".join(link.spec.search)}"'
