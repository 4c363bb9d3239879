# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of netplan, netplan-yaml(5): one for all interfaces."""

import json
from collections.abc import Iterator, Mapping, Sequence

from swarmstrap.networks.checks import version_of
from swarmstrap.networks.links import Link
from swarmstrap.steps.system import WriteFile

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]

_GROUPS = {"nic": "ethernets", "bond": "bonds", "bridge": "bridges", "vlan": "vlans"}


def netplan(links: Sequence[Link]) -> WriteFile:
    network: dict[str, Value] = {"version": 2}
    for kind, name in _GROUPS.items():
        group = [link for link in links if link.spec.kind == kind]
        if group:
            network[name] = {_id(link.key, links): _interface(link, links) for link in group}
    content = "\n".join([*_yaml({"network": network}), ""])
    # After whatever the image has, and for root alone, since netplan warns of anything else.
    return WriteFile("/etc/netplan/90-swarmstrap.yaml", content, 0o600)


def _id(key: str, links: Sequence[Link]) -> str:
    """An id may be any word, but what begins with a digit could be read as a number."""
    named = any(link.name == key for link in links)
    return key if named else f"nic{key}"


def _interface(link: Link, links: Sequence[Link]) -> dict[str, Value]:
    spec = link.spec
    out: dict[str, Value] = {}
    if spec.kind == "nic":
        out["match"] = {"macaddress": link.mac}
        if link.name:
            out["set-name"] = link.name
    elif link.mac:
        out["macaddress"] = link.mac
    if spec.bond or spec.bridge:
        out["interfaces"] = [_id(member, links) for member in link.members]
    if spec.bond:
        rate = {"lacp-rate": spec.bond.lacp_rate} if spec.bond.lacp_rate else {}
        out["parameters"] = {
            "mode": spec.bond.mode,
            "mii-monitor-interval": spec.bond.miimon,
            **rate,
        }
    if spec.bridge:
        out["parameters"] = {"stp": spec.bridge.stp}
    if spec.vlan:
        out |= {"id": spec.vlan.id, "link": _id(link.lower, links)}
    if spec.mtu:
        out["mtu"] = spec.mtu
    return out if link.master else out | dict(_addresses(link))


def _addresses(link: Link) -> Iterator[tuple[str, Value]]:
    spec = link.spec
    yield "dhcp4", link.dhcp
    yield "dhcp6", link.dhcp
    if link.is_silent:
        yield "accept-ra", False
    if spec.addresses:
        yield "addresses", spec.addresses
    routes: list[Value] = [
        {"to": _everything(gateway), "via": gateway} for gateway in spec.gateways
    ]
    for route in spec.routes:
        metric = {"metric": route.metric} if route.metric else {}
        routes.append({"to": route.to, "via": route.via, **metric})
    if routes:
        yield "routes", routes
    if spec.dns or spec.search:
        servers: dict[str, Value] = {"addresses": spec.dns} if spec.dns else {}
        yield "nameservers", servers | ({"search": spec.search} if spec.search else {})


def _everything(gateway: str) -> str:
    """Older ones than 0.103 do not know `default`."""
    return "0.0.0.0/0" if version_of(gateway) == 4 else "::/0"


def _yaml(value: Mapping[str, Value], indent: str = "") -> Iterator[str]:
    """Mappings as blocks, whatever else as JSON, which is YAML, too."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml(inner, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(inner)}"
