# SPDX-License-Identifier: GPL-2.0-or-later
"""Long-running children: they never outlive us, their words go to a log, stopping has an end."""

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.command import ENVIRONMENT
from swarmstrap.errors import SwarmstrapError

log = logging.getLogger(__name__)

_TAIL_BYTES = 4096
_TAIL_LINES = 5


class ChildFailed(SwarmstrapError):
    """A program that should go on running could not be started, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running program; `name` is what errors call it, `log` holds its stdout and stderr."""

    name: str
    log: Path
    process: asyncio.subprocess.Process

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_file: Path,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "Child":
        """Start `argv`, in the network namespace `netns` if one is named.

        `env` is added to a clean environment; `pass_fds` stay open under their numbers.

        The kernel kills the child when the thread that started it dies: start it from the main
        thread's event loop. Raises ChildFailed when there is no such program.
        """
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]
        if netns is not None:
            command = ["ip", "netns", "exec", netns, *command]
        log.debug("start: %s", shlex.join(command))
        with log_file.open("ab") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**ENVIRONMENT, **(env or {})},
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
            except OSError as error:
                raise ChildFailed(f"cannot start {name}: {error.strerror}") from error
        return cls(name, log_file, process)

    async def wait(self) -> int:
        """Its exit status, once it has ended; negative for a signal."""
        return await self.process.wait()

    async def stop(self, *, grace: float = 5.0) -> int:
        """Ask it to end, insist after `grace` seconds, and give its status. Safe to repeat."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            log.warning("%s did not end within %.0f s of SIGTERM: killed", self.name, grace)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            return await self.process.wait()

    def last_words(self) -> str:
        """The end of its log on one line, for the error that says why it ended."""
        text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        lines = text.splitlines()[-_TAIL_LINES:]
        return "; ".join(line.strip() for line in lines) or "it said nothing"
