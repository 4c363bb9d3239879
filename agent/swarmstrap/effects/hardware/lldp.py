# SPDX-License-Identifier: GPL-2.0-or-later
"""Hearing the switch ports that this machine is plugged into.

Switches speak every 30 seconds. Nobody waits for them: the kernel keeps what comes from `listen`
on until somebody asks `heard`.
"""

import logging
import select
import socket
import struct
import time
from collections.abc import Mapping

from swarmstrap.errors import BadInput, StepFailed
from swarmstrap.hardware import Neighbour
from swarmstrap.lldp import ETHERTYPE, GROUP, parse

log = logging.getLogger(__name__)

# linux/if_packet.h; the socket module has no names for them.
_SOL_PACKET = 263
_ADD_MEMBERSHIP = 1
_MULTICAST = 0
_LONGEST = 9216  # jumbo frames


class Listener:
    """Hears every NIC that is there when it is made, also one that is brought up later."""

    def __init__(self) -> None:
        """Raises StepFailed for anybody but root."""
        # Datagrams come without their Ethernet header.
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(ETHERTYPE))
        except PermissionError as error:
            raise StepFailed("cannot listen for switches", hint="do it as root") from error
        for index, name in socket.if_nameindex():
            group = struct.pack("iHH8s", index, _MULTICAST, len(GROUP), GROUP)
            try:
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, group)
            except OSError as error:
                log.info("no LLDP from %s: %s", name, error.strerror)

    def close(self) -> None:
        self._socket.close()

    def heard(self, patience: float = 0.0) -> Mapping[str, Neighbour]:
        """By NIC, what was said since the last call and, with `patience`, in so many seconds."""
        neighbours: dict[str, Neighbour] = {}
        deadline = time.monotonic() + patience
        while select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            packet, (name, *_) = self._socket.recvfrom(_LONGEST)
            try:
                neighbour = parse(packet)
            except BadInput as error:
                log.info("%s heard %s", name, error)
                continue
            if neighbour is not None:
                neighbours[name] = neighbour
        return neighbours
