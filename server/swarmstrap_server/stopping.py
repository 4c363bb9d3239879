# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that is asked to end gives back what it holds: half an image, a lab's network."""

import signal
from contextlib import suppress


def end_in_order() -> None:
    """From now on SIGTERM is an interrupt: whatever runs is unwound by KeyboardInterrupt. Whoever
    serves has a handler of its own instead.
    """
    with suppress(ValueError):  # in a thread, which nobody can send a signal to
        signal.signal(signal.SIGTERM, signal.default_int_handler)
