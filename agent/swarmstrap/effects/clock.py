# SPDX-License-Identifier: GPL-2.0-or-later
"""A real-time clock that lost its battery must not keep a node from its server, and what the node
writes and reports has the server's time.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from swarmstrap.effects.trust import CA, SIGNERS

log = logging.getLogger(__name__)

# More than the slowest answer takes; less confuses nobody who reads a log.
_TOLERATED_SECONDS = 60.0

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


def follow(ahead: float) -> bool:
    """Set a clock that is `ahead` seconds ahead of the server's, or behind, to the server's time;
    false when the difference is not worth it.
    """
    if abs(ahead) <= _TOLERATED_SECONDS:
        return False
    time.clock_settime(time.CLOCK_REALTIME, time.time() - ahead)
    log.warning("the clock was %.0f s ahead of the server's: set to that", ahead)
    return True
