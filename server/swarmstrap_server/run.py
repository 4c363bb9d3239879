# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's one door for commands: list arguments, clean environment, a deadline."""

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

from swarmstrap.errors import SwarmstrapError

log = logging.getLogger(__name__)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "LC_ALL": "C", "HOME": "/root", "TERM": "dumb"}
_LAST_LINES = 5
# Killed children may leave a grandchild that holds the pipes: do not read them for ever.
_DRAIN_SECONDS = 2.0


class CommandFailed(SwarmstrapError):
    """A program is missing, did not end in time, or ended with a status other than zero."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind; undecodable bytes of its output are kept as surrogates."""

    stdout: str
    stderr: str
    returncode: int


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    netns: str | None = None,
) -> Completed:
    """Run `argv` to its end, blocking, in the network namespace `netns` if one is named.

    `env` is added to a clean environment. Raises CommandFailed when the program is missing, when
    `timeout` seconds have passed (its whole process group is killed), and, unless `check` is off,
    when its status is not zero.
    """
    command = [str(argument) for argument in argv]
    if netns is not None:
        command = ["ip", "netns", "exec", netns, *command]
    hint = f"the command was: {shlex.join(command)}"
    log.debug("run: %s", shlex.join(command))
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
        message = f"cannot start {command[0]}: {error.strerror}"
        raise CommandFailed(message, hint=hint) from error
    try:
        stdout, stderr = _communicate(process, stdin, timeout)
    except TimeoutError as error:
        message = f"{command[0]} did not end within {timeout:.0f} s: {error}"
        raise CommandFailed(message, hint=hint) from error
    status = process.returncode
    log.debug("ran: %s: status %d, %.2f s", command[0], status, time.monotonic() - started)
    if check and status:
        message = f"{command[0]} ended with {_ending(status)}: {_last_lines(stdout, stderr)}"
        raise CommandFailed(message, hint=hint)
    return Completed(os.fsdecode(stdout), os.fsdecode(stderr), status)


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes | None, timeout: float
) -> tuple[bytes, bytes]:
    """What it wrote until it ended. Raises TimeoutError, with its last words, once it is killed."""
    with process:
        try:
            return process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(_last_lines(*_kill(process))) from error
        except BaseException:
            _kill(process)
            raise


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""


def _ending(status: int) -> str:
    return f"status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"


def _last_lines(stdout: bytes, stderr: bytes) -> str:
    """What the command said last, on one line; its stderr when it said anything there."""
    said = os.fsdecode(stderr.strip() or stdout.strip()).splitlines()
    return "; ".join(line.strip() for line in said[-_LAST_LINES:]) or "it said nothing"
