# SPDX-License-Identifier: GPL-2.0-or-later
"""The one door for commands: list arguments, closed stdin, clean environment, a deadline."""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import StepFailed

log = logging.getLogger(__name__)

Argument = str | bytes | Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "LC_ALL": "C", "HOME": "/root", "TERM": "dumb"}
_LAST_LINES = 5
# A child that left the process group may still hold the pipes: do not read them for ever.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind; undecodable bytes of its output are kept as surrogates."""

    returncode: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[Argument],
    *,
    timeout: float,
    stdin: bytes | None = None,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    name: str = "",
) -> Completed:
    """Run `argv` and wait for it, blocking. `env` is added to a clean environment; `name` is what
    errors call the command, its program unless given.

    Raises StepFailed when the program is missing, when `timeout` seconds have passed (its whole
    process group is killed), and, unless `check` is off, when its status is not zero.
    """
    command = [os.fsdecode(argument) for argument in argv]
    name = name or command[0]
    pasteable = shlex.join(command)
    log.info("run: %s", pasteable)
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**ENVIRONMENT, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise StepFailed(
            f"cannot start {name}: {error.strerror}",
            hint=f"the command was: {pasteable}",
        ) from error
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            stdout, stderr = _kill(process)
            raise StepFailed(
                f"{name} did not end within {timeout:.0f} s: {_tail(stdout, stderr)}",
                hint=f"the command was: {pasteable}",
            ) from error
        except BaseException:
            _kill(process)
            raise
    completed = Completed(process.returncode, os.fsdecode(stdout), os.fsdecode(stderr))
    log.info("ran: %s: status %d, %.2f s", name, completed.returncode, _since(started))
    if check and completed.returncode:
        raise StepFailed(
            f"{name} ended with {_status(completed.returncode)}: {_tail(stdout, stderr)}",
            hint=f"the command was: {pasteable}",
        )
    return completed


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""


def _since(started: float) -> float:
    return time.monotonic() - started


def _status(returncode: int) -> str:
    if returncode > 0:
        return f"status {returncode}"
    return f"signal {signal.Signals(-returncode).name}"


def _tail(stdout: bytes, stderr: bytes) -> str:
    """The last lines that the command said, on one line; stderr when it said anything there."""
    said = os.fsdecode(stderr.strip() or stdout.strip()).splitlines()
    return "; ".join(line.strip() for line in said[-_LAST_LINES:]) or "no output"
