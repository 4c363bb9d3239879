# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines with shaped links: network namespaces on bridges, each cable shaped both ways."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

NETWORK = IPv4Network("10.78.0.0/24")
PORT = "eth0"
# The buffer of a small switch: 100 ms at the link's rate, and bursts of the largest packets.
_SHAPE = ("burst", "64k", "latency", "100ms")


@dataclass(frozen=True, slots=True)
class Link:
    """A cable that carries `rate` bit/s each way, headers included; None is as much as the
    processors can. It goes to the switch of its rack.
    """

    rate: int | None
    rack: int = 0


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace with one cable, and its address on it."""

    netns: str
    address: IPv4Address
    rack: int

    def command(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.netns, *argv]

    def sent(self) -> int:
        """Bytes that went out so far, as the interface counts them: the headers of segments that
        the kernel hands over at once are counted once.
        """
        return sent(self.netns, PORT)


@dataclass(frozen=True, slots=True)
class Network:
    """`machines` in the order of their links; `switches` is the namespace of all bridges."""

    machines: list[Machine]
    switches: str
    racks: int

    def uplinks_carried(self) -> tuple[int, int]:
        """Bytes that went into the racks beside the first, and that came out of them, so far."""
        ends = [_uplink(rack) for rack in range(1, self.racks)]
        into, out = (
            sum(sent(self.switches, device) for device in devices)
            for devices in (zip(*ends, strict=True) if ends else ((), ()))
        )
        return into, out


@contextmanager
def machines(count: int, rate: int | None) -> Iterator[list[Machine]]:
    """`count` machines with equal links on one switch. Needs root."""
    with network([Link(rate)] * count) as made:
        yield made.machines


@contextmanager
def network(links: Sequence[Link], uplink: int | None = None) -> Iterator[Network]:
    """A machine for each link. Racks hang on the first, each by a cable of `uplink` bit/s."""
    prefix = f"bench-{os.getpid()}"
    racks = 1 + max(link.rack for link in links)
    made = Network(
        [
            Machine(f"{prefix}-{number}", NETWORK[number + 1], link.rack)
            for number, link in enumerate(links)
        ],
        f"{prefix}-switch",
        racks,
    )
    try:
        _ip("netns", "add", made.switches)
        for rack in range(racks):
            _switch(made.switches, rack)
            if rack:
                _join(made.switches, rack, uplink)
        for number, (machine, link) in enumerate(zip(made.machines, links, strict=True)):
            _ip("netns", "add", machine.netns)
            _cable(machine, made.switches, f"port{number}", link)
        yield made
    finally:
        for netns in (*(machine.netns for machine in made.machines), made.switches):
            subprocess.run(["ip", "netns", "delete", netns], stderr=subprocess.DEVNULL, check=False)


def sent(netns: str, device: str) -> int:
    command = ["ip", "-n", netns, "-s", "-j", "link", "show", device]
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    counted: int = json.loads(shown.stdout)[0]["stats64"]["tx"]["bytes"]
    return counted


def _switch(netns: str, rack: int) -> None:
    # Without a querier on the net, a bridge that snoops would lose multicast.
    quick = ("forward_delay", "0", "mcast_snooping", "0")
    _ip("-n", netns, "link", "add", f"rack{rack}", "type", "bridge", *quick)
    _ip("-n", netns, "link", "set", f"rack{rack}", "up")


def _uplink(rack: int) -> tuple[str, str]:
    return f"down{rack}", f"up{rack}"


def _join(netns: str, rack: int, rate: int | None) -> None:
    down, up = _uplink(rack)
    _ip("-n", netns, "link", "add", down, "type", "veth", "peer", up)
    for device, bridge in ((down, "rack0"), (up, f"rack{rack}")):
        _ip("-n", netns, "link", "set", device, "master", bridge, "up")
        _shape(netns, device, rate)


def _cable(machine: Machine, switches: str, port: str, link: Link) -> None:
    own = ("-n", machine.netns)
    _ip(
        "link", "add", PORT, "netns", machine.netns, "type", "veth", "peer", port, "netns", switches
    )
    _ip("-n", switches, "link", "set", port, "master", f"rack{link.rack}", "up")
    _ip(*own, "address", "add", f"{machine.address}/{NETWORK.prefixlen}", "dev", PORT)
    for device in ("lo", PORT):
        _ip(*own, "link", "set", device, "up")
    # What a node's kernel uses, whatever this machine's default is.
    _ip(*own, "route", "change", str(NETWORK), "dev", PORT, "congctl", "cubic")
    _ip(*own, "route", "add", "224.0.0.0/4", "dev", PORT)
    for netns, device in ((machine.netns, PORT), (switches, port)):
        _shape(netns, device, link.rate)


def _shape(netns: str, device: str, rate: int | None) -> None:
    if rate is not None:
        shape = ("root", "tbf", "rate", f"{rate}bit", *_SHAPE)
        subprocess.run(["tc", "-n", netns, "qdisc", "add", "dev", device, *shape], check=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
