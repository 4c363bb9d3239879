# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver of a node, as its files say."""

from pathlib import Path
from typing import assert_never

from swarmstrap_server.power.commands import by_exec, by_ipmi, by_ssh
from swarmstrap_server.power.driver import Driver
from swarmstrap_server.power.redfish import RedfishMachine
from swarmstrap_server.power.wol import Waker
from swarmstrap_server.power.words import Exec, Ipmi, NoPower, Redfish, Ssh, Wol
from swarmstrap_server.site.words import Node


def driver_of(node: Node, folder: Path) -> Driver | None:
    """None for a node that nobody switches; `folder` is the site's. Raises BadInput."""
    match node.power:
        case Redfish() as words:
            return RedfishMachine(words, folder)
        case Ipmi() as words:
            return by_ipmi(words, folder)
        case Wol() as words:
            return Waker(words, node.name, node.macs)
        case Ssh() as words:
            return by_ssh(words, folder)
        case Exec() as words:
            return by_exec(words, node.name)
        case NoPower():
            return None
        case other:
            assert_never(other)
