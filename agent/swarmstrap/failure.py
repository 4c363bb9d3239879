# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node does after a failure: decided from the error and the job, never from its mood."""

from dataclasses import dataclass
from typing import Literal

from swarmstrap.errors import (
    BadInput,
    Refused,
    StepFailed,
    SwarmstrapError,
    Unplannable,
    Unreachable,
    Untrusted,
)
from swarmstrap.wire import Failure, OnFailure


class NotArmed(Refused):
    """The server knows this node and has nothing for it to do."""


# Before a job there is nobody to ask: back to the firmware, which boots the disk of a node that
# is not armed and brings an armed one here again.
BEFORE_A_JOB = Failure(action="reboot")

# Long enough to read the message at the machine, short enough that nobody has to come for it.
_READ_SECONDS = 30.0
_NOT_ARMED_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 60.0
# A shell that nobody types into for so long is one that nobody came for.
SHELL_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens next, after `delay` seconds, and `then` after a shell. `str()` of it is shown to
    people.
    """

    action: OnFailure
    delay: float
    attempts_left: int = 0
    then: Literal["reboot", "poweroff"] = "reboot"

    def __str__(self) -> str:
        match self.action:
            case "retry":
                return f"trying again in {self.delay:.0f} s ({self.attempts_left} more)"
            case "shell":
                end = "power off" if self.then == "poweroff" else "reboot"
                alone = f"leave it alone for {SHELL_SECONDS / 60:.0f} min"
                return f"a shell is open on this console; leave it, or {alone}, to {end}"
            case "reboot":
                return f"rebooting in {self.delay:.0f} s"
            case "poweroff":
                return f"powering off in {self.delay:.0f} s"


AFTER_A_DRY_RUN = Verdict("reboot", _READ_SECONDS)


def judge(error: Exception, policy: Failure, attempt: int) -> Verdict:
    """`attempt` counts from 1. Only what can be different next time is tried again."""
    if isinstance(error, NotArmed):
        return Verdict("reboot", _NOT_ARMED_SECONDS)
    action = policy.action
    if action == "retry":
        left = policy.attempts - attempt
        if left > 0 and _may_change(error):
            delay = min(_FIRST_RETRY_SECONDS * 2 ** (attempt - 1), _LAST_RETRY_SECONDS)
            return Verdict("retry", delay, left)
        action = policy.then
    if action == "shell":
        return Verdict("shell", 0.0, then="poweroff" if policy.then == "poweroff" else "reboot")
    return Verdict(action, _READ_SECONDS)


def explain(error: Exception) -> SwarmstrapError:
    """One line for people from any error: what was tried, what went wrong, what to do."""
    tried = "; ".join(getattr(error, "__notes__", ()))
    if isinstance(error, SwarmstrapError):
        message = f"{error.message} ({tried})" if tried else error.message
        return type(error)(message, hint=error.hint)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return StepFailed(
        f"{what} ({tried})" if tried else what,
        hint="this is not expected: the traceback is in the log on the node",
    )


def _may_change(error: Exception) -> bool:
    match error:
        case BadInput() | Untrusted() | Refused() | Unplannable():
            return False
        case StepFailed() | Unreachable() | OSError():
            return True
        case _:
            return False
