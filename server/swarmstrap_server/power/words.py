# SPDX-License-Identifier: GPL-2.0-or-later
"""`power` of node and group files: how a node is switched; docs/power.md explains each word.

Paths are relative to the site folder. A password is always the first line of a file, so that no
process shows it in its arguments and no file in git has it.
"""

from typing import Annotated, Literal

import msgspec

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Command = tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]


class _Driver(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="driver"
):
    pass


class Redfish(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="redfish"):
    """`address` is a URL. `verify` is true for the system's CAs, false for none, or the path of a
    file of certificates; `system` is a path as in /redfish/v1/Systems/1, empty for the only one.
    """

    address: str
    username: str
    password_file: str
    verify: bool | str = True
    system: str = ""


class Ipmi(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ipmi"):
    """IPMI 2.0 over LAN. `cipher` is the suite's number, left out for what ipmitool tries first;
    `boot` is the firmware that is to start from the network.
    """

    address: str
    username: str
    password_file: str
    port: Port = 623
    cipher: Annotated[int, msgspec.Meta(ge=1, le=17)] | None = None
    boot: Literal["uefi", "bios"] = "uefi"


class Wol(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="wol"):
    """Switches on only. `mac` is one of the node's if empty; `broadcast` is an IPv4 address."""

    mac: str = ""
    broadcast: str = "255.255.255.255"


class Ssh(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ssh"):
    """Commands for the shell of `host`, which may be a hypervisor or the node itself. `off` asks
    the system to stop, `kill` cuts the power, `state` prints `on` or `off`, `network` makes the
    next start one from the network. Those left out cannot be done. `key` and `known_hosts` are
    those of the server's user if empty.
    """

    host: str
    user: str = "root"
    port: Port = 22
    key: str = ""
    known_hosts: str = ""
    on: str = ""
    off: str = ""
    kill: str = ""
    cycle: str = ""
    state: str = ""
    network: str = ""


class Exec(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="exec"):
    """Programs on the server and their arguments; the meaning of each is as in `Ssh`."""

    on: Command = ()
    off: Command = ()
    kill: Command = ()
    cycle: Command = ()
    state: Command = ()
    network: Command = ()


class NoPower(_Driver, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="none"):
    """Somebody walks to the machine."""


Power = Redfish | Ipmi | Wol | Ssh | Exec | NoPower
