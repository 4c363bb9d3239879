# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's network: a namespace with a bridge, one tap per virtual node, and nothing outside."""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path

from swarmstrap.command import Completed
from swarmstrap_server.run import run

log = logging.getLogger(__name__)

BRIDGE = "br0"
ADDRESS = IPv4Interface("10.77.0.1/24")
_SECONDS = 20.0
_NAME = re.compile(r"swarmstrap-(\d+)-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is up; `name` is its namespace, as `ip netns` knows it."""

    name: str
    address: IPv4Interface
    address6: IPv6Interface
    taps: tuple[str, ...]

    @property
    def server(self) -> IPv4Address:
        """Where a server inside the namespace is reached by the nodes."""
        return self.address.ip

    def pool(self) -> tuple[IPv4Address, IPv4Address]:
        """First and last address that DHCP may lease: all but the server's own and the ends."""
        hosts = self.address.network
        return hosts[2], hosts[-2]


@contextlib.asynccontextmanager
async def network(nodes: int, *, address: IPv4Interface = ADDRESS) -> AsyncIterator[Network]:
    """A network for `nodes` virtual nodes, removed on exit with every process left inside it.

    `address` is the bridge's, and must be the first of its network. What a crashed run left
    behind is removed first. Needs root. Raises CommandFailed when the kernel lacks a part.
    """
    name = f"swarmstrap-{os.getpid()}-{secrets.token_hex(2)}"
    # An IPv6 router advertisement spares iPXE a wait of 16 s; it needs an address to come from.
    made = Network(
        name, address, IPv6Interface("fd77::1/64"), tuple(f"tap{i}" for i in range(nodes))
    )
    await asyncio.to_thread(remove_stale)
    try:
        await asyncio.to_thread(_make, made)
        yield made
    finally:
        await asyncio.to_thread(_remove, name)


def remove_stale() -> list[str]:
    """Remove the networks of processes that are gone, and say which."""
    stale = [name for name, pid in _existing() if not Path(f"/proc/{pid}").exists()]
    for name in stale:
        log.info("removing the lab network %s, left by a run that is gone", name)
        _remove(name)
    return stale


def _make(made: Network) -> None:
    run(["ip", "netns", "add", made.name], timeout=_SECONDS)
    _ip(made.name, "link", "set", "lo", "up")
    _ip(made.name, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    _ip(made.name, "addr", "add", str(made.address), "dev", BRIDGE)
    _ip(made.name, "addr", "add", str(made.address6), "dev", BRIDGE, "nodad")
    for tap in made.taps:
        _ip(made.name, "tuntap", "add", "mode", "tap", "dev", tap)
        _ip(made.name, "link", "set", tap, "master", BRIDGE, "up")
    _ip(made.name, "link", "set", BRIDGE, "up")


def _remove(name: str) -> None:
    """The namespace goes when its name and its last process are gone; links go with it."""
    for pid in _netns("pids", name, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _netns("delete", name, check=False)


def _existing() -> Iterator[tuple[str, int]]:
    for line in _netns("list").stdout.splitlines():
        if match := _NAME.match(line):
            yield match[0], int(match[1])


def _netns(*arguments: str, check: bool = True) -> Completed:
    return run(["ip", "netns", *arguments], timeout=_SECONDS, check=check)


def _ip(netns: str, *arguments: str) -> None:
    run(["ip", "-n", netns, *arguments], timeout=_SECONDS)
