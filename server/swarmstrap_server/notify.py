# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is told of a service of type notify, see sd_notify(3): one datagram each."""

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

_SOCKET = "NOTIFY_SOCKET"
_ABSTRACT = "@"
_SECONDS = 1.0


class Manager:
    """Who started this service, at a Unix `address`; nobody is told anything where that is "".

    The address is taken out of `environment`: it is not for what this process starts.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop(_SOCKET, "")

    def ready(self, status: str) -> None:
        """Everything answers, for the first time or after `reloading`; `status` is one line."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """To be said more often than the unit's WatchdogSec."""
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address[0] == _ABSTRACT else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(_SECONDS)
            try:
                to.sendto(state.encode(), name)
            except OSError as error:
                log.warning("cannot tell %s %s: %s", self._address, state.split("\n")[0], error)
