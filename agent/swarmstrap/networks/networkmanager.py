# SPDX-License-Identifier: GPL-2.0-or-later
"""Keyfiles of NetworkManager: nm-settings-keyfile(5)."""

from collections.abc import Iterator, Sequence

from swarmstrap.networks.checks import version_of
from swarmstrap.networks.links import Link, of_key
from swarmstrap.networks.text import Section, inexpressible, link_file, of_version, sections
from swarmstrap.networks.values import Route
from swarmstrap.placing import Identity
from swarmstrap.steps.system import WriteFile


def networkmanager(links: Sequence[Link], identity: Identity) -> Iterator[WriteFile]:
    known = of_key(links)
    for link in links:
        if link.spec.kind == "nic" and link.name:
            yield link_file(link)
        parts = (
            ("connection", _connection(link, known.get(link.master), identity)),
            ("ethernet", _ethernet(link)),
            *_made(link, known, identity),
            *(() if link.master else (_addresses(link, version) for version in (4, 6))),
        )
        path = f"/etc/NetworkManager/system-connections/swarmstrap-{link.key}.nmconnection"
        # NetworkManager ignores a keyfile that others may read: it may hold secrets.
        yield WriteFile(path, sections(*parts), 0o600)


def _uuid(link: Link, identity: Identity) -> str:
    return str(identity.derive("connection", link.mac if link.spec.kind == "nic" else link.name))


def _connection(link: Link, master: Link | None, identity: Identity) -> Iterator[str]:
    spec = link.spec
    yield f"id=swarmstrap-{link.key}"
    yield f"uuid={_uuid(link, identity)}"
    yield f"type={'ethernet' if spec.kind == 'nic' else spec.kind}"
    if spec.kind != "nic":
        yield f"interface-name={link.name}"
    if master:
        yield f"master={master.name}"
        yield f"slave-type={master.spec.kind}"


def _ethernet(link: Link) -> Iterator[str]:
    if link.mac:
        yield f"{'mac-address' if link.spec.kind == 'nic' else 'cloned-mac-address'}={link.mac}"
    if link.spec.mtu:
        yield f"mtu={link.spec.mtu}"


def _made(link: Link, known: dict[str, Link], identity: Identity) -> Iterator[Section]:
    spec = link.spec
    if spec.bond:
        rate = [f"lacp_rate={spec.bond.lacp_rate}"] if spec.bond.lacp_rate else []
        yield "bond", [f"mode={spec.bond.mode}", f"miimon={spec.bond.miimon}", *rate]
    if spec.bridge:
        yield "bridge", [f"stp={str(spec.bridge.stp).lower()}"]
    if spec.vlan:
        # By its connection, since what a NIC is called is not known.
        parent = _uuid(known[link.lower], identity)
        yield "vlan", [f"id={spec.vlan.id}", f"parent={parent}"]


def _addresses(link: Link, version: int) -> Section:
    spec = link.spec
    addresses, servers = of_version(version, spec.addresses), of_version(version, spec.dns)
    if not link.dhcp and not addresses:
        if servers:
            raise inexpressible(
                "NetworkManager",
                link,
                f"an IPv{version} name server without an IPv{version} address",
                "write the name server where an address of its kind is",
            )
        return f"ipv{version}", ["method=disabled"]
    lines = [f"method={'auto' if link.dhcp else 'manual'}"]
    lines += [f"address{n}={address}" for n, address in enumerate(addresses, start=1)]
    lines += [f"gateway={gateway}" for gateway in of_version(version, spec.gateways)]
    routes = [route for route in spec.routes if version_of(route.via) == version]
    lines += [f"route{n}={_route(route)}" for n, route in enumerate(routes, start=1)]
    if servers:
        lines.append(f"dns={';'.join(servers)};")
    if spec.search:
        lines.append(f"dns-search={';'.join(spec.search)};")
    return f"ipv{version}", lines


def _route(route: Route) -> str:
    return ",".join([route.to, route.via, *([str(route.metric)] if route.metric else [])])
