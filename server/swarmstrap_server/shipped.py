# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes with the code and is not Python: boot/ and dracut/ of this repository."""

import sys
from pathlib import Path

from swarmstrap.errors import SwarmstrapError

_PLACES = (Path(__file__).parents[2], Path(sys.prefix) / "share/swarmstrap")


def shipped(name: str) -> Path:
    """The path of `name`, as in boot/entry.ipxe.in: of the source tree when run from one, else
    where the wheel puts it.
    """
    for place in _PLACES:
        if (place / name).exists():
            return place / name
    raise SwarmstrapError(
        f"{name} is in none of {', '.join(map(str, _PLACES))}",
        hint="install Swarmstrap again: make install",
    )
