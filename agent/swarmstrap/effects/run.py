# SPDX-License-Identifier: GPL-2.0-or-later
"""The one door for commands: list arguments, closed stdin, clean environment, a deadline."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from swarmstrap.command import DRAIN_SECONDS, ENVIRONMENT, Argument, Command, Completed

log = logging.getLogger(__name__)


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

    Raises CommandFailed when the program is missing, when `timeout` seconds have passed (its whole
    process group is killed), and, unless `check` is off, when its status is not zero.
    """
    command = Command.of(argv, name)
    log.info("run: %s", command)
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**ENVIRONMENT, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise command.not_started(error) from error
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise command.late(timeout, *_kill(process)) from error
        except BaseException:
            _kill(process)
            raise
    status, seconds = process.returncode, time.monotonic() - started
    log.info("ran: %s: status %d, %.2f s", command.name, status, seconds)
    return command.ended(status, stdout, stderr, check=check)


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=DRAIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""
