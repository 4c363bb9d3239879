# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of an installed system as it is written, in node files and in a job alike.

It is a flat list of interfaces in any order. One with `bond`, `bridge` or `vlan` is made of
others, which it names by their `name` or MAC; every other is a NIC.
"""

from typing import Annotated, Literal

import msgspec

# The kernel's words; each means to every stack what the kernel's documentation says.
BondMode = Literal[
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
]
Kind = Literal["nic", "bond", "bridge", "vlan"]
LacpRate = Literal["slow", "fast"]
Mtu = Annotated[int, msgspec.Meta(ge=68, le=65535)]
VlanId = Annotated[int, msgspec.Meta(ge=1, le=4094)]


class NicMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What NICs must be, in the words of the inventory; what is left out does not matter."""

    driver: str = ""
    pci_address: str = ""
    vendor: str = ""
    product: str = ""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`to` as in 198.51.100.0/24."""

    to: str
    via: str
    metric: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] | None = None


class Bond(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`match` takes all NICs that fit, instead of `members`; `miimon` in milliseconds."""

    members: tuple[str, ...] = ()
    match: NicMatch | None = None
    mode: BondMode = "active-backup"
    miimon: Annotated[int, msgspec.Meta(ge=0, le=60000)] = 100
    lacp_rate: LacpRate | None = None


class Bridge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    members: tuple[str, ...] = ()
    stp: bool = False


class Vlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: VlanId
    link: str


class Interface(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One interface of the installed system; `addresses` as in `192.0.2.7/24`.

    `mac` says which NIC is meant, or which address a bond or bridge takes. `dhcp` left out is true
    but for members and for what carries VLANs. A NIC without `name` keeps the kernel's.
    """

    name: str = ""
    mac: str = ""
    match: NicMatch | None = None
    bond: Bond | None = None
    bridge: Bridge | None = None
    vlan: Vlan | None = None
    dhcp: bool | None = None
    addresses: tuple[str, ...] = ()
    gateway: str | tuple[str, ...] = ""
    routes: tuple[Route, ...] = ()
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    mtu: Mtu | None = None

    @property
    def gateways(self) -> tuple[str, ...]:
        given = (self.gateway,) if isinstance(self.gateway, str) else self.gateway
        return tuple(gateway for gateway in given if gateway)

    @property
    def members(self) -> tuple[str, ...]:
        """Of a bond or a bridge, as written."""
        return (self.bond or self.bridge or Bridge()).members

    @property
    def below(self) -> tuple[str, ...]:
        """All that it is made of, as written."""
        return (*self.members, self.vlan.link) if self.vlan else self.members

    @property
    def kind(self) -> Kind:
        if self.bond:
            return "bond"
        if self.bridge:
            return "bridge"
        return "vlan" if self.vlan else "nic"

    @property
    def speaks(self) -> bool:
        """Whether anything is written that only an interface with an address of its own has."""
        words = (self.dhcp, self.addresses, self.gateway, self.routes, self.dns, self.search)
        return any(words)

    def __str__(self) -> str:
        return self.name or self.mac or "the NIC"
