# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of node, group and network files; docs/site.md, docs/groups.md and docs/networks.md
explain them.
"""

from typing import Annotated

import msgspec

from swarmstrap.networks.values import Interface, Mtu, Route, VlanId
from swarmstrap.wire import Failure, Finish
from swarmstrap_server.power.words import NoPower, Power

Variable = str | int | float | bool
PowerWord = str | int | bool | tuple[str, ...]
ALL = "all"


class InterfaceEntry(Interface, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An interface as a file has it. What is left out comes from the `network` that it names, and
    an address needs no prefix length then. On `link` it is a VLAN, whose number the network knows.
    """

    network: str = ""
    link: str = ""


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all interfaces on it have in common; `prefix` as in `10.1.0.0/16`, one of IPv4 and one
    of IPv6 at most.
    """

    name: str
    prefix: str | tuple[str, ...] = ()
    gateway: str | tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    mtu: Mtu | None = None
    vlan: VlanId | None = None


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a node says of itself, and a group of its members. `hooks` names those that run; left
    out, all of them do. `overlays` are laid over the image, in this order. Nodes without a `rack`
    are in one of their own, all together. `image` is what the node carries when nobody wants
    another one on it, as NAME or NAME:VERSION.
    """

    rack: str = ""
    layout: str = ""
    image: str = ""
    hostname: str = ""
    network: tuple[Interface, ...] = ()
    hooks: tuple[str, ...] | None = None
    overlays: tuple[str, ...] = ()
    kernel_arguments: str = ""
    finish: Finish | None = None
    failure: Failure | None = None
    variables: dict[str, Variable] = {}


class Entry(Words, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words in a file. Those of `power` may be there in part: a group has what its members have in
    common, and a node its address.
    """

    network: tuple[InterfaceEntry, ...] = ()
    power: dict[str, PowerWord] = {}


class NodeEntry(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node as a file has it. `name` may be a range; `mac`, `uuid` and `serial` then have an item
    for each of its nodes, in their order.
    """

    name: str
    mac: str | tuple[str | tuple[str, ...], ...] = ()
    uuid: str | tuple[str, ...] = ""
    serial: str | tuple[str, ...] = ""
    groups: tuple[str, ...] = ()


class GroupEntry(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`members` are names and ranges of nodes; those of `groups` are members too. Where groups say
    different things the higher `priority` holds.
    """

    name: str
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    members: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Node(Words, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node with all that its groups say for it; `groups` are those it is in, weightiest first."""

    name: str
    mac: str | tuple[str, ...] = ()
    uuid: str = ""
    serial: str = ""
    groups: tuple[str, ...] = ()
    power: Power = NoPower()

    @property
    def macs(self) -> frozenset[str]:
        given = (self.mac,) if isinstance(self.mac, str) else self.mac
        return frozenset(mac.lower().replace("-", ":") for mac in given)


class NodesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    nodes: tuple[NodeEntry, ...]


class GroupsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    groups: tuple[GroupEntry, ...]


class NetworksFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    networks: tuple[Network, ...]
