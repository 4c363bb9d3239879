# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doors for commands have in common: a clean environment, and what a failure says."""

import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import StepFailed

Argument = str | bytes | Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "LC_ALL": "C", "HOME": "/root", "TERM": "dumb"}
# A child that left the process group may still hold the pipes: do not read them for ever.
DRAIN_SECONDS = 2.0
_LAST_LINES = 5


class CommandFailed(StepFailed):
    """A program is missing, did not end in time, or ended with a status other than zero."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind; undecodable bytes of its output are kept as surrogates."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command line; `str()` of it can be pasted into a shell. `name` is what errors call it."""

    argv: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, argv: Sequence[Argument], name: str = "") -> "Command":
        """Without a name it is called by its program."""
        words = tuple(os.fsdecode(argument) for argument in argv)
        return cls(words, name or words[0])

    def __str__(self) -> str:
        return shlex.join(self.argv)

    def not_started(self, error: OSError) -> CommandFailed:
        return self._failed(f"cannot start {self.name}: {error.strerror}")

    def late(self, seconds: float, stdout: bytes, stderr: bytes) -> CommandFailed:
        said = _last_lines(stdout, stderr)
        return self._failed(f"{self.name} did not end within {seconds:.0f} s: {said}")

    def ended(self, status: int, stdout: bytes, stderr: bytes, *, check: bool) -> Completed:
        """`status` as of subprocess; raises CommandFailed when it is to be checked and not 0."""
        if check and status:
            said = _last_lines(stdout, stderr)
            raise self._failed(f"{self.name} ended with {_ending(status)}: {said}")
        return Completed(status, os.fsdecode(stdout), os.fsdecode(stderr))

    def _failed(self, message: str) -> CommandFailed:
        return CommandFailed(message, hint=f"the command was: {self}")


def _ending(status: int) -> str:
    return f"status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"


def _last_lines(stdout: bytes, stderr: bytes) -> str:
    """What the command said last, on one line; its stderr when it said anything there."""
    said = os.fsdecode(stderr.strip() or stdout.strip()).splitlines()
    return "; ".join(line.strip() for line in said[-_LAST_LINES:]) or "it said nothing"
