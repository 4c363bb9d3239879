# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines with links of one speed: network namespaces on a bridge, each cable shaped both ways."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

NETWORK = IPv4Network("10.78.0.0/24")
_PORT = "eth0"
# The buffer of a small switch: 100 ms at the link's rate, and bursts of the largest packets.
_SHAPE = ("burst", "64k", "latency", "100ms")


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace with one cable, and its address on it."""

    netns: str
    address: IPv4Address

    def command(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.netns, *argv]


@contextmanager
def machines(count: int, rate: int | None) -> Iterator[list[Machine]]:
    """`count` machines whose links carry `rate` bit/s each way, headers included; None is as much
    as the processors can. Needs root.
    """
    prefix = f"bench-{os.getpid()}"
    switch = f"{prefix}-switch"
    made = [Machine(f"{prefix}-{number}", NETWORK[number + 1]) for number in range(count)]
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, machine in enumerate(made):
            _ip("netns", "add", machine.netns)
            _cable(machine, switch, f"port{number}", rate)
        yield made
    finally:
        for netns in (*(machine.netns for machine in made), switch):
            subprocess.run(["ip", "netns", "delete", netns], stderr=subprocess.DEVNULL, check=False)


def _cable(machine: Machine, switch: str, port: str, rate: int | None) -> None:
    own = ("-n", machine.netns)
    _ip("link", "add", _PORT, "netns", machine.netns, "type", "veth", "peer", port, "netns", switch)
    _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
    _ip(*own, "address", "add", f"{machine.address}/{NETWORK.prefixlen}", "dev", _PORT)
    for link in ("lo", _PORT):
        _ip(*own, "link", "set", link, "up")
    # What a node's kernel uses, whatever this machine's default is.
    _ip(*own, "route", "change", str(NETWORK), "dev", _PORT, "congctl", "cubic")
    if rate is None:
        return
    for netns, device in ((machine.netns, _PORT), (switch, port)):
        shape = ("root", "tbf", "rate", f"{rate}bit", *_SHAPE)
        subprocess.run(["tc", "-n", netns, "qdisc", "add", "dev", device, *shape], check=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
