# SPDX-License-Identifier: GPL-2.0-or-later
"""Times as people read them, in the time zone of this machine; all are seconds since 1970."""

import time


def clock_time(seconds: float) -> str:
    """As in 2027-01-15 08:00:00."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def time_of_day(seconds: float) -> str:
    """For what happens today."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))
