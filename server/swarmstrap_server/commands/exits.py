# SPDX-License-Identifier: GPL-2.0-or-later
"""The exit statuses of `swarmstrap`; docs/commands.md has them for scripts."""

from enum import IntEnum

from swarmstrap.errors import Refused, SwarmstrapError, Unreachable, Untrusted


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2  # argparse's own
    PARTLY = 3
    UNREACHABLE = 4
    REFUSED = 5
    UNTRUSTED = 6
    INTERRUPTED = 130  # as a shell has it after SIGINT


def exit_of(error: SwarmstrapError) -> Exit:
    match error:
        case Unreachable():
            return Exit.UNREACHABLE
        case Refused():
            return Exit.REFUSED
        case Untrusted():
            return Exit.UNTRUSTED
        case _:
            return Exit.FAILED
