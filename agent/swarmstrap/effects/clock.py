# SPDX-License-Identifier: GPL-2.0-or-later
"""A real-time clock that lost its battery must not keep a node from its server."""

import logging
import time
from pathlib import Path

log = logging.getLogger(__name__)


def forward(made_before_now: Path) -> None:
    """Set the clock to the age of a file of the initramfs, when the clock says it is older."""
    floor = made_before_now.stat().st_mtime
    behind = floor - time.time()
    if behind > 0:
        log.warning("the clock is %.0f days behind the initramfs: set forward", behind / 86400)
        time.clock_settime(time.CLOCK_REALTIME, floor)
