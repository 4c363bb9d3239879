# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything Swarmstrap says when it stops: what was attempted, and what to do next."""


class SwarmstrapError(Exception):
    """One line for a person, and a hint that says what to do; never shown with a traceback."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return with_hint(self.message, self.hint)


def with_hint(message: str, hint: str) -> str:
    """Both in one text; a message that ends in a table gets its hint on a line of its own."""
    if not hint:
        return message
    between = "\n" if "\n" in message else " "
    return f"{message}{between}({hint})"


class BadInput(SwarmstrapError):
    """Something a person wrote (YAML, an option, a name) cannot be used as it stands."""


class Untrusted(SwarmstrapError):
    """A signature, digest, certificate or token does not hold."""


class Refused(SwarmstrapError):
    """The server said no, for a reason that will not change by asking again."""


class Unreachable(SwarmstrapError):
    """A peer or server did not answer in time; asking again may help."""


class Unplannable(SwarmstrapError):
    """No plan fits this node: no disk matches, two match, or the layout does not fit."""


class StepFailed(SwarmstrapError):
    """A step of the plan could not be carried out."""
