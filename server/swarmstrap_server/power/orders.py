# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators ask of machines, and what comes of it."""

from typing import Literal

import msgspec

PowerState = Literal["on", "off", "unknown"]
PowerAction = Literal["on", "off", "cycle", "status"]


class PowerOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`nodes` may have groups and ranges. `hard` cuts the power without asking the system."""

    nodes: tuple[str, ...]
    action: PowerAction
    hard: bool = False


class PowerResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`state` is what the BMC says afterwards; a `reason` is there when it did not work."""

    node: str
    driver: str
    state: PowerState
    reason: str = ""
    hint: str = ""
