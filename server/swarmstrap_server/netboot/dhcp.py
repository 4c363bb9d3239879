# SPDX-License-Identifier: GPL-2.0-or-later
"""What dnsmasq is told for DHCP and TFTP, or the lines for a DHCP server that is already there."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from swarmstrap.errors import BadInput
from swarmstrap_server.netboot.templates import fill, template

Mode = Literal["full", "proxy", "tftp"]
Flavour = Literal["dnsmasq", "isc", "kea"]

# Debian's ipxe package; dnsmasq serves undionly.kpxe and snponly.efi straight from there.
IPXE = Path("/usr/lib/ipxe")
_NIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpSettings:
    """What dnsmasq needs to know. `server` and `boot_port` are the boot listener's.

    Mode tftp answers no DHCP: it is for the lines of `lines_for` in somebody else's server.
    `pool` (first and last address to lease) belongs to mode full, and so do `router` and `dns`:
    left out, nodes are told of none. `ipv6_prefix` makes dnsmasq announce that prefix, which
    spares Debian's iPXE a wait of 16 s; only for a network with nobody else on it. `secure_boot`
    gives UEFI firmware a signed boot program (`netboot.grub`).
    Raises BadInput for values that do not belong together.
    """

    mode: Mode
    interface: str
    server: IPv4Address
    boot_port: int
    network: IPv4Network
    pool: tuple[IPv4Address, IPv4Address] | None = None
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    ipv6_prefix: IPv6Network | None = None
    secure_boot: bool = False

    def __post_init__(self) -> None:
        if not _NIC_NAME.fullmatch(self.interface):
            raise BadInput(f"dhcp: {self.interface!r} is not a network interface")
        if (self.mode == "full") != (self.pool is not None):
            raise BadInput("dhcp: mode full needs a range of addresses, other modes have none")
        if self.mode == "proxy" and self.secure_boot:
            raise BadInput(
                "dhcp: the signed GRUB does not hear what mode proxy says",
                hint="use mode tftp, and the lines of swarmstrap dhcp in your DHCP server",
            )
        for address in (self.server, *(self.pool or ())):
            if address not in self.network:
                raise BadInput(
                    f"dhcp: {address} is not in {self.network}",
                    hint="server and range share one network",
                )
        if self.pool is not None and self.pool[0] > self.pool[1]:
            raise BadInput(f"dhcp: the range {self.pool[0]} to {self.pool[1]} is backwards")


def render(settings: DhcpSettings, state: Path, tftp: Path = IPXE) -> str:
    """The configuration of the supervised dnsmasq, which keeps leases and pid file in `state`.

    `tftp` is the folder with the boot programs; dnsmasq reads it as a user without rights.
    """
    first, last = settings.pool or ("", "")
    prefix = settings.ipv6_prefix
    values = {
        **_boot_values(settings.server, settings.boot_port, secure_boot=settings.secure_boot),
        "INTERFACE": settings.interface,
        "STATE": str(state),
        "TFTP": str(tftp),
        "FIRST": str(first),
        "LAST": str(last),
        "NETWORK": str(settings.network.network_address),
        "NETMASK": str(settings.network.netmask),
        "ROUTER": f",{settings.router}" if settings.router else "",
        "DNS": "".join(f",{address}" for address in settings.dns),
        "PREFIX": str(prefix.network_address) if prefix else "",
        "LENGTH": str(prefix.prefixlen) if prefix else "",
    }
    parts = ["dnsmasq.conf.in"]
    match settings.mode:
        case "full":
            parts += ["dhcp-dnsmasq.in", "dnsmasq-full.conf.in"]
        case "proxy":
            parts += ["dnsmasq-proxy.conf.in"]
        case "tftp":
            pass
    if prefix:
        parts += ["dnsmasq-ipv6.conf.in"]
    if settings.secure_boot:
        parts += ["dnsmasq-signed.conf.in"]
    return "".join(fill(template(part), values) for part in parts)


def lines_for(
    flavour: Flavour, server: IPv4Address, boot_port: int, *, secure_boot: bool = False
) -> str:
    """What to add to a DHCP server of one's own; `server` must then also be its TFTP server."""
    values = _boot_values(server, boot_port, secure_boot=secure_boot)
    text = fill(template(f"dhcp-{flavour}.in"), values)
    return text.lstrip("\n")


def _boot_values(server: IPv4Address, boot_port: int, *, secure_boot: bool) -> dict[str, str]:
    return {
        "SERVER": str(server),
        "SCRIPT": f"http://{server}:{boot_port}/boot/entry.ipxe",
        "UEFI": "shimx64.efi" if secure_boot else "snponly.efi",
    }
