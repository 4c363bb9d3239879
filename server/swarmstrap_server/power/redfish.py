# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching by Redfish, which BMCs of today speak. The only module that knows sushy."""

from collections.abc import Mapping
from pathlib import Path

import sushy
from sushy.exceptions import SushyError
from sushy.resources.system.system import System

from swarmstrap_server import secretfile
from swarmstrap_server.power.driver import Deed, PowerFailed, in_thread
from swarmstrap_server.power.orders import PowerState
from swarmstrap_server.power.words import Redfish

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_RESETS: Mapping[Deed, sushy.ResetType] = {
    "on": sushy.ResetType.ON,
    "off": sushy.ResetType.GRACEFUL_SHUTDOWN,
    "kill": sushy.ResetType.FORCE_OFF,
}
_STATES: Mapping[sushy.PowerState, PowerState] = {
    sushy.PowerState.ON: "on",
    sushy.PowerState.OFF: "off",
}


class RedfishMachine:
    """`folder` is the site's. Each call logs in anew: BMCs forget sessions, and have few."""

    can: frozenset[Deed] = frozenset({*_RESETS, "network"})
    knows_state = True

    def __init__(self, words: Redfish, folder: Path) -> None:
        self._words = words
        self._verify = (
            words.verify if isinstance(words.verify, bool) else str(folder / words.verify)
        )
        self._password = folder / words.password_file
        self.bmc = f"the BMC {words.address}"

    async def do(self, deed: Deed) -> None:
        await in_thread(self._do, deed)

    async def state(self) -> PowerState:
        return await in_thread(self._state)

    def _do(self, deed: Deed) -> None:
        try:
            system = self._system()
            if deed == "network":
                system.set_system_boot_options(
                    target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE
                )
            else:
                system.reset_system(_RESETS[deed])
        except (SushyError, OSError) as error:
            raise self._failed(deed, error) from error

    def _state(self) -> PowerState:
        try:
            return _STATES.get(self._system().power_state, "unknown")
        except (SushyError, OSError) as error:
            raise self._failed("state", error) from error

    def _system(self) -> System:
        words = self._words
        root = sushy.Sushy(
            words.address,
            username=words.username,
            password=secretfile.read(self._password).partition("\n")[0],
            verify=self._verify,
            server_side_retries=0,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
        )
        return root.get_system(words.system or None)

    def _failed(self, what: str, error: Exception) -> PowerFailed:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return PowerFailed(f"{self.bmc} was asked for {what}: {reason}")
