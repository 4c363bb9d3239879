# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's `power`, once the words of its groups and its own are put together."""

from typing import get_args

from swarmstrap_server.power.words import NoPower, Power
from swarmstrap_server.site.yamlfile import Misfit, Value, convert, nearest

_DRIVERS: dict[str, type[Power]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Power)
}


def power_of(words: Value) -> Power:
    """Raises Misfit, its path being one of `words`."""
    if not isinstance(words, dict) or not words:
        return NoPower()
    known = ", ".join(sorted(_DRIVERS))
    driver = words.get("driver")
    if driver is None:
        raise Misfit((), "power needs a driver", hint=f"one of {known}")
    if driver not in _DRIVERS:
        near = nearest(str(driver), list(_DRIVERS))
        raise Misfit(("driver",), f"power: {driver!r} is none of {known}{near}")
    return convert(words, _DRIVERS[str(driver)])
