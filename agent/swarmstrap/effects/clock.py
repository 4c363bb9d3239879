# SPDX-License-Identifier: GPL-2.0-or-later
"""A real-time clock that lost its battery must not keep a node from its server."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from swarmstrap.effects.trust import CA, SIGNERS

log = logging.getLogger(__name__)

# The agent's own age may be that of its release; the site's files are as old as the initramfs.
MADE_BEFORE_NOW = (CA, SIGNERS.allowed, Path(__file__))


def forward(files: Iterable[Path] = MADE_BEFORE_NOW) -> float:
    """Set a clock that is behind the newest of `files` to its time; the seconds it was behind."""
    floor = max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
    behind = floor - time.time()
    if behind <= 0:
        return 0.0
    time.clock_settime(time.CLOCK_REALTIME, floor)
    log.warning("the clock was %.0f days behind the initramfs: set forward", behind / 86400)
    return behind
