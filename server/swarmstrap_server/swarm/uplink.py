# SPDX-License-Identifier: GPL-2.0-or-later
"""The link that images leave this server by."""

from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.gauges import parse_link
from swarmstrap_server.run import run
from swarmstrap_server.site.settings import Settings

_NICS = Path("/sys/class/net")
_IP_SECONDS = 10.0
_MEGABIT = 10**6 // 8


def uplink(settings: Settings) -> int:
    """Bytes a second that nodes can have of it: what its NIC says, and the cap of the seeder if
    that is less. 0 when neither is known, or when other seeders have links of their own.
    """
    if settings.swarm.seeders:
        return 0
    known = [rate for rate in (_speed_of(settings.address), settings.swarm.rate) if rate]
    return min(known, default=0)


def _speed_of(address: str) -> int:
    try:
        argv = ["ip", "-json", "address", "show", "to", address]
        name = parse_link(run(argv, timeout=_IP_SECONDS).stdout)
    except CommandFailed:
        return 0
    nic = _NICS / name
    if not name or not _has_cable(nic):
        return 0
    try:
        return max(0, int((nic / "speed").read_text())) * _MEGABIT
    except (OSError, ValueError):
        return 0


def _has_cable(nic: Path) -> bool:
    """Without a device below it, as a veth, it makes its speed up."""
    return (nic / "device").exists() or any(map(_has_cable, nic.glob("lower_*")))
