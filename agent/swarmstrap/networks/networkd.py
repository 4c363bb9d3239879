# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of systemd-networkd: systemd.network(5), systemd.netdev(5)."""

from collections.abc import Iterator, Sequence

from swarmstrap.networks.links import Link, of_key
from swarmstrap.networks.text import Section, link_file, sections
from swarmstrap.networks.values import Route
from swarmstrap.steps.system import WriteFile


def networkd(links: Sequence[Link]) -> Iterator[WriteFile]:
    known = of_key(links)
    for link in links:
        path = f"/etc/systemd/network/10-swarmstrap-{link.key}"
        if link.spec.kind != "nic":
            yield WriteFile(f"{path}.netdev", sections(*_netdev(link)), 0o644)
        elif link.name:
            yield link_file(link)
        master = known.get(link.master)
        parts = (
            ("Match", [_match(link)]),
            ("Link", [f"MTUBytes={link.spec.mtu}"] if link.spec.mtu else []),
            ("Network", [*_place(link, master), *([] if master else _addresses(link))]),
            *(("Route", _route(route)) for route in link.spec.routes),
        )
        yield WriteFile(f"{path}.network", sections(*parts), 0o644)


def _match(link: Link) -> str:
    if link.spec.kind != "nic":
        return f"Name={link.name}"
    # What is made of a NIC takes its MAC, and members of a bond take the bond's.
    return f"{'PermanentMACAddress' if link.is_below else 'MACAddress'}={link.mac}"


def _netdev(link: Link) -> Iterator[Section]:
    spec = link.spec
    address = [f"MACAddress={link.mac}"] if link.mac else []
    yield "NetDev", [f"Name={link.name}", f"Kind={spec.kind}", *address]
    if spec.bond:
        rate = [f"LACPTransmitRate={spec.bond.lacp_rate}"] if spec.bond.lacp_rate else []
        monitor = f"MIIMonitorSec={spec.bond.miimon}ms"
        yield "Bond", [f"Mode={spec.bond.mode}", monitor, *rate]
    if spec.bridge:
        yield "Bridge", [f"STP={'yes' if spec.bridge.stp else 'no'}"]
    if spec.vlan:
        yield "VLAN", [f"Id={spec.vlan.id}"]


def _place(link: Link, master: Link | None) -> Iterator[str]:
    if master:
        yield f"{master.spec.kind.title()}={master.name}"
    yield from (f"VLAN={vlan}" for vlan in link.vlans)


def _addresses(link: Link) -> Iterator[str]:
    spec = link.spec
    yield f"DHCP={'yes' if link.dhcp else 'no'}"
    if link.is_silent:
        yield "IPv6AcceptRA=no"
    yield from (f"Address={address}" for address in spec.addresses)
    yield from (f"Gateway={gateway}" for gateway in spec.gateways)
    yield from (f"DNS={server}" for server in spec.dns)
    if spec.search:
        yield f"Domains={' '.join(spec.search)}"


def _route(route: Route) -> list[str]:
    metric = [f"Metric={route.metric}"] if route.metric else []
    return [f"Destination={route.to}", f"Gateway={route.via}", *metric]
