# SPDX-License-Identifier: GPL-2.0-or-later
"""The node's own network while it installs: the lease that iPXE handed over, or one by DHCP.

Blocking: call it in a thread.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from swarmstrap.cmdline import Lease, Settings
from swarmstrap.command import Argument
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed, Unreachable

Found = TypeVar("Found")
Tell = Callable[[str], None]

_NICS = Path("/sys/class/net")
_RESOLV_CONF = Path("/etc/resolv.conf")
# In the initramfs: applies the lease that dhclient hears about, see dracut/50swarmstrap.
_SCRIPT = Path("/usr/lib/swarmstrap/dhclient-script")
_STATE = Path("/run/swarmstrap/dhcp")
_IP_SECONDS = 10.0
# Drivers load while the agent starts; some load firmware first.
_NIC_SECONDS = 60.0
# Spanning tree keeps a switch port closed for 30 s, a port that negotiates anew some seconds more.
_LINK_SECONDS = 60.0
_DHCP_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_ETHERNET = "1"  # ARPHRD_ETHER, linux/if_arp.h


class _Address(msgspec.Struct):
    """What is used here of `ip -json address`."""

    local: str
    prefixlen: int


class _Link(msgspec.Struct):
    addr_info: list[_Address]


def configure(settings: Settings, tell: Tell) -> str:
    """Bring the network up; returns the node's address without its mask.

    Raises StepFailed when there is no NIC to use, Unreachable when no link or lease comes.
    """
    if settings.boot_mac:
        what = f"the NIC {settings.boot_mac} that the node was booted from"
        names = _wait(what, _NIC_SECONDS, lambda: _with_mac(settings.boot_mac))
    else:
        names = _wait("a NIC", _NIC_SECONDS, _ethernets)
    for name in names:
        run(["ip", "link", "set", "dev", name, "up"], timeout=_IP_SECONDS)
    tell(f"waiting for a link on {', '.join(names)}")
    name = _wait(f"a link on {', '.join(names)}", _LINK_SECONDS, lambda: _linked(names))
    if settings.lease:
        _apply(name, settings.lease)
        address = settings.lease.address
    else:
        tell(f"asking for a lease on {name} (DHCP)")
        address = _ask(name)
    tell(f"{name} has {address}")
    return address.partition("/")[0]


def _ask(name: str) -> str:
    """The address, with its mask, that dhclient and its script have given `name`."""
    _STATE.mkdir(parents=True, exist_ok=True)
    command: list[Argument] = ["dhclient", "-4", "-1", "-q", "-cf", "/dev/null", "-sf", _SCRIPT]
    command += ["-lf", _STATE / "leases", "-pf", _STATE / "pid", name]
    try:
        run(command, timeout=_DHCP_SECONDS)
    except StepFailed as error:
        raise Unreachable(
            f"no lease on {name}: {error.message}",
            hint="check the cable, the VLAN and the DHCP server",
        ) from error
    shown = run(["ip", "-json", "-4", "address", "show", "dev", name], timeout=_IP_SECONDS)
    [link] = msgspec.json.decode(shown.stdout, type=list[_Link])
    [address, *_] = link.addr_info
    return f"{address.local}/{address.prefixlen}"


def _apply(name: str, lease: Lease) -> None:
    run(["ip", "address", "replace", lease.address, "dev", name], timeout=_IP_SECONDS)
    if lease.gateway:
        run(
            ["ip", "route", "replace", "default", "via", lease.gateway, "dev", name],
            timeout=_IP_SECONDS,
        )
    _RESOLV_CONF.write_text("".join(f"nameserver {server}\n" for server in lease.dns))


def _wait(what: str, seconds: float, look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Unreachable(
                f"waited {seconds:.0f} s for {what}", hint="check the cable, the switch, the driver"
            )
        time.sleep(_LOOK_SECONDS)
    return found


def _with_mac(mac: str) -> list[str] | None:
    names = [nic.name for nic in _NICS.iterdir() if _read(nic.name, "address") == mac]
    return names or None


def _ethernets() -> list[str] | None:
    """Real NICs: of type Ethernet, with a device behind them."""
    names = sorted(
        nic.name
        for nic in _NICS.iterdir()
        if _read(nic.name, "type") == _ETHERNET and (nic / "device").exists()
    )
    return names or None


def _linked(names: list[str]) -> str | None:
    return next((name for name in names if _read(name, "carrier") == "1"), None)


def _read(name: str, attribute: str) -> str:
    try:
        return (_NICS / name / attribute).read_text().strip()
    except OSError:
        return ""  # gone meanwhile, or not up yet
