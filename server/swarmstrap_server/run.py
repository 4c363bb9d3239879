# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's one door for commands, which leads into the lab's network namespaces too."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from swarmstrap.command import DRAIN_SECONDS, ENVIRONMENT, Argument, Command, Completed

log = logging.getLogger(__name__)


def run(
    argv: Sequence[Argument],
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
    entering = ("ip", "netns", "exec", netns) if netns is not None else ()
    command = Command.of([*entering, *argv])
    log.debug("run: %s", command)
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
    log.debug("ran: %s: status %d, %.2f s", command.name, status, seconds)
    return command.ended(status, stdout, stderr, check=check)


class Conversation:
    """A command that is listened to while it runs."""

    def __init__(
        self, command: Command, process: subprocess.Popen[bytes], stderr: BinaryIO
    ) -> None:
        self._command = command
        self._process = process
        self._stderr = stderr

    def hear(self, seconds: float) -> bytes:
        """What it says next; nothing when it has closed its stdout.

        Raises CommandFailed when it says nothing for so long.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            raise self._command.late(seconds, b"", self._complaints())
        return os.read(self._process.stdout.fileno(), 65536)

    def end(self, seconds: float) -> Completed:
        """Close its stdin and wait for its end, whatever its status; its stdout was heard."""
        try:
            self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise self._command.late(seconds, *_kill(self._process)) from error
        status = self._process.returncode
        return self._command.ended(status, b"", self._complaints(), check=False)

    def _complaints(self) -> bytes:
        self._stderr.seek(0)
        return self._stderr.read()


@contextlib.contextmanager
def conversation(
    argv: Sequence[Argument], *, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> Iterator[Conversation]:
    """Start `argv`, which reads `stdin` and may then wait for its end.

    It is killed when it is still there at the end, and also when this process is killed.
    """
    command = Command.of(argv)
    log.debug("start: %s", command)
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command.argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                env={**ENVIRONMENT, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise command.not_started(error) from error
        with process:
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # how it ended says why
                    process.stdin.write(stdin)
                yield Conversation(command, process, stderr)
            finally:
                if process.poll() is None:
                    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=DRAIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""
