# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of a Redfish BMC: sushy-tools' emulator, whose system is a machine of ours.

Everything that answers HTTP is the emulator's own; it is only told what to do when it has decided
to switch. Arguments: the machine's socket, then those of sushy-emulator.
"""

import sys
from collections.abc import Mapping
from typing import ClassVar

from sushy_tools import error
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver
from tests.bmc.chassis import ask

_WORDS: Mapping[str, str] = {
    "On": "on",
    "ForceOn": "on",
    "GracefulShutdown": "off",
    "ForceOff": "kill",
}


class Wired(fakedriver.FakeDriver):  # type: ignore[misc]  # sushy-tools has no types
    """The fake driver, but for power and boot device, which are the machine's."""

    socket: ClassVar[str]

    def get_power_state(self, identity: str) -> str:
        return ask(self.socket, "state").capitalize()

    def set_power_state(self, identity: str, state: str) -> None:
        if state not in _WORDS:
            raise error.NotSupportedError(f"power state {state}")
        ask(self.socket, _WORDS[state])

    def set_boot_device(self, identity: str, boot_source: str) -> None:
        super().set_boot_device(identity, boot_source)
        if boot_source == "Pxe":
            ask(self.socket, "network")


if __name__ == "__main__":
    Wired.socket = sys.argv.pop(1)
    fakedriver.FakeDriver = Wired
    sys.exit(main.main())
