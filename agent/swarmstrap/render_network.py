# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed system's network, in the words of the stack that the image carries; pure.

NICs are named by their MAC: what the kernel calls them depends on the system that asks.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence

from swarmstrap.errors import BadInput
from swarmstrap.manifest import NetworkStack
from swarmstrap.placing import Identity
from swarmstrap.steps import WriteFile
from swarmstrap.wire import Interface

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def check_interface(interface: Interface) -> None:
    """Raises BadInput for a MAC, address, gateway or name server that is none."""
    if not _MAC.fullmatch(interface.mac):
        raise BadInput(f"not a MAC: {interface.mac!r}", hint="write it as 52:54:00:12:34:56")
    try:
        for address in interface.addresses:
            ipaddress.ip_interface(address)
        for host in (interface.gateway, *interface.dns):
            if host:
                ipaddress.ip_address(host)
    except ValueError as error:
        raise BadInput(
            f"network of {interface.mac}: {error}", hint="write addresses as 192.0.2.7/24"
        ) from error
    if not interface.dhcp and not interface.addresses:
        raise BadInput(
            f"network of {interface.mac} has neither DHCP nor an address",
            hint="write `dhcp: true` or `addresses`",
        )


def network_files(
    stack: NetworkStack, interfaces: Sequence[Interface], identity: Identity
) -> tuple[WriteFile, ...]:
    """The files that make `interfaces` come up; none for an image without a known stack."""
    for interface in interfaces:
        check_interface(interface)
    writers: Mapping[NetworkStack, Callable[[], tuple[WriteFile, ...]]] = {
        "systemd-networkd": lambda: tuple(_networkd(i) for i in interfaces),
        "ifupdown": lambda: (_ifupdown(interfaces),),
        "networkmanager": lambda: tuple(_keyfile(i, identity) for i in interfaces),
        "none": tuple,
    }
    return writers[stack]()


def _name(interface: Interface) -> str:
    return interface.mac.replace(":", "")


def _version(address: str) -> int:
    return ipaddress.ip_interface(address).version


def _networkd(interface: Interface) -> WriteFile:
    lines = ["[Match]", f"MACAddress={interface.mac}", "", "[Network]"]
    lines.append(f"DHCP={'yes' if interface.dhcp else 'no'}")
    lines += [f"Address={address}" for address in interface.addresses]
    if interface.gateway:
        lines.append(f"Gateway={interface.gateway}")
    lines += [f"DNS={server}" for server in interface.dns]
    path = f"/etc/systemd/network/10-swarmstrap-{_name(interface)}.network"
    return WriteFile(path, "\n".join([*lines, ""]), 0o644)


def _ifupdown(interfaces: Sequence[Interface]) -> WriteFile:
    """`auto mac/MAC=NAME` (ifupdown 0.8.20) brings up whatever NIC has that MAC as `iface NAME`."""
    lines = ["source /etc/network/interfaces.d/*", "", "auto lo", "iface lo inet loopback"]
    for number, interface in enumerate(interfaces):
        logical = f"lan{number}"
        lines += ["", f"auto mac/{interface.mac}={logical}"]
        if interface.dhcp:
            lines.append(f"iface {logical} inet dhcp")
        gateway = interface.gateway
        dns = [f"    dns-nameservers {' '.join(interface.dns)}"] if interface.dns else []
        for address in interface.addresses:
            family = "inet6" if _version(address) == 6 else "inet"
            lines += [f"iface {logical} {family} static", f"    address {address}"]
            if gateway and _version(gateway) == _version(address):
                lines.append(f"    gateway {gateway}")
                gateway = ""  # one default route, however many addresses there are
            lines += dns
            dns = []
    return WriteFile("/etc/network/interfaces", "\n".join([*lines, ""]), 0o644)


def _keyfile(interface: Interface, identity: Identity) -> WriteFile:
    lines = [
        "[connection]",
        f"id=swarmstrap-{_name(interface)}",
        f"uuid={identity.derive('connection', interface.mac)}",
        "type=ethernet",
        "",
        "[ethernet]",
        f"mac-address={interface.mac}",
    ]
    for version in (4, 6):
        addresses = [a for a in interface.addresses if _version(a) == version]
        servers = [s for s in interface.dns if _version(s) == version]
        manual = "manual" if addresses else "disabled"
        lines += ["", f"[ipv{version}]", f"method={'auto' if interface.dhcp else manual}"]
        lines += [f"address{n}={a}" for n, a in enumerate(addresses, start=1)]
        if interface.gateway and _version(interface.gateway) == version:
            lines.append(f"gateway={interface.gateway}")
        if servers:
            lines.append(f"dns={';'.join(servers)};")
    path = f"/etc/NetworkManager/system-connections/swarmstrap-{_name(interface)}.nmconnection"
    # NetworkManager ignores a keyfile that others may read: it may hold secrets.
    return WriteFile(path, "\n".join([*lines, ""]), 0o600)
