# SPDX-License-Identifier: GPL-2.0-or-later
"""Wake-on-LAN: a packet to the whole network, which nobody confirms."""

import re
import socket

from swarmstrap.errors import BadInput
from swarmstrap_server.power.driver import Deed, PowerFailed
from swarmstrap_server.power.orders import PowerState
from swarmstrap_server.power.words import Wol

# The port "discard"; network cards look at the payload alone.
_PORT = 9
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_REPEATS = 3


class Waker:
    """`macs` are the node's; with none of its own in the words, all are woken."""

    can: frozenset[Deed] = frozenset({"on"})
    knows_state = False

    def __init__(self, words: Wol, node: str, macs: frozenset[str], port: int = _PORT) -> None:
        self._packets = [packet(mac) for mac in ((words.mac,) if words.mac else sorted(macs))]
        if not self._packets:
            raise BadInput(f"node {node} has no mac to be woken by", hint="write mac below power")
        self._to = (words.broadcast, port)
        self.bmc = f"the network card of {node}"

    async def do(self, deed: Deed) -> None:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                for one in self._packets * _REPEATS:
                    out.sendto(one, self._to)
        except OSError as error:
            raise PowerFailed(f"cannot send to {self._to[0]}: {error.strerror}") from error

    async def state(self) -> PowerState:
        return "unknown"


def packet(mac: str) -> bytes:
    """The "magic packet": six times 0xff, then the address sixteen times."""
    plain = mac.lower().replace("-", ":")
    if not _MAC.fullmatch(plain):
        raise BadInput(f"{mac!r} is not a MAC address")
    return b"\xff" * 6 + bytes.fromhex(plain.replace(":", "")) * 16
