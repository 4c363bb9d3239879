# SPDX-License-Identifier: GPL-2.0-or-later
"""One power-on of a virtual node: started, heard on three channels, judged, and always stopped."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.lab.machines import (
    QEMU_LOG,
    REPORT_LOG,
    SERIAL_LOG,
    AttachedDisk,
    PowerOn,
    VirtualNode,
)
from swarmstrap_server.lab.qemu import Channels, device_id, qemu_argv
from swarmstrap_server.lab.qmp import Qmp
from swarmstrap_server.lab.tpm import chip
from swarmstrap_server.lab.verdict import (
    Ended,
    Expected,
    Reason,
    SerialJudge,
    clean,
    judge_stop,
    pause,
)
from swarmstrap_server.process import Child, ChildFailed

_READ_BYTES = 65536
# After a line that ends the run: time for the trace that follows it to reach the log.
_LAST_WORDS_SECONDS = 2.0


class Keyboard:
    """Who sits at a node's serial console: types each of `answers` once its prompt stands there,
    and has `typed` so many.
    """

    def __init__(self, writer: asyncio.StreamWriter, answers: Mapping[str, str]) -> None:
        self._writer = writer
        self._answers = {prompt.encode(): answer.encode() for prompt, answer in answers.items()}
        self._prompted = False
        self.typed = 0

    def answer(self, unfinished: bytes) -> None:
        """`unfinished` is the line that the node is at, as far as it goes."""
        found = next((said for prompt, said in self._answers.items() if prompt in unfinished), b"")
        if found and not self._prompted:
            self._writer.write(found + b"\r")
            self.typed += 1
        self._prompted = bool(found)


class Guest:
    """A running virtual node, judged by what is heard from it."""

    def __init__(
        self,
        child: Child,
        monitor: Qmp,
        on_line: Callable[[str], None],
        on_report: Callable[[str], bool],
        keyboard: Keyboard,
    ) -> None:
        self._child = child
        self._monitor = monitor
        self._on_line = on_line
        self._on_report = on_report
        self.keyboard = keyboard
        self._started = self._heard = time.monotonic()
        self._judge = SerialJudge()
        self._trouble: tuple[Reason, str] | None = None
        self._shutdown = ""
        self._gone = False
        self._proven = False
        self._news = asyncio.Event()

    def prove(self) -> None:
        """The node has done what this power-on was for; for a proof that comes another way."""
        self._proven = True
        self._news.set()

    async def ended(self, expected: Expected) -> Ended:
        """Wait until the run has ended, one way or another; never longer than `expected` says.

        Raises ChildFailed when it was QEMU that failed, not the node.
        """
        while (end := self._judged(expected)) is None:
            self._news.clear()
            now = time.monotonic()
            left = min(self._started + expected.seconds, self._heard + expected.quiet) - now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(left, 0.0))
        if self._trouble is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), _LAST_WORDS_SECONDS)
        return Ended(*end, round(time.monotonic() - self._started, 1))

    async def screenshot(self, png: Path) -> None:
        """Write what the VGA screen shows now; raises SwarmstrapError when QEMU cannot."""
        await self._monitor.execute("screendump", filename=str(png.absolute()), format="png")

    async def unplug(self, disk: AttachedDisk) -> None:
        """Ask the node to let go of a disk of a SCSI bus; it is gone a moment later."""
        await self._monitor.execute("device_del", id=device_id(disk))

    def cut_power(self) -> None:
        """As if somebody pulled the plug: the run has ended, and nobody on the node was told."""
        self._stop("unplugged", "its power was cut")
        self._child.process.kill()

    async def greet(self) -> None:
        """Make the monitor ready for commands; raises ChildFailed when QEMU did not start."""
        try:
            await self._monitor.execute("qmp_capabilities")
        except SwarmstrapError as error:
            said = self._child.last_words()
            raise ChildFailed(f"{self._child.name} did not start: {said}") from error

    async def follow(
        self, serial: asyncio.StreamReader, report: asyncio.StreamReader, logs: Path
    ) -> None:
        """Hear everything that the node and QEMU say, until QEMU has ended."""
        try:
            async with asyncio.TaskGroup() as channels:
                console = self._lines(serial, self._line, logs / SERIAL_LOG, self.keyboard.answer)
                channels.create_task(console)
                channels.create_task(self._lines(report, self._report, logs / REPORT_LOG))
                channels.create_task(self._monitor.follow(self._event))
            await self._child.wait()
        finally:
            self._gone = True
            self._news.set()

    async def _lines(
        self,
        reader: asyncio.StreamReader,
        take: Callable[[str], None],
        log: Path,
        prompted: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Hand out whole lines, and what stands there without an end, until QEMU closes its end;
        append the raw bytes to `log`.
        """
        rest = b""
        with log.open("ab", buffering=0) as copy, contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_READ_BYTES):
                self._heard = time.monotonic()
                copy.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    take(line.decode(errors="replace"))
                prompted(rest)
        if rest:
            take(rest.decode(errors="replace"))

    def _line(self, raw: str) -> None:
        if not (line := clean(raw)):
            return
        if reason := self._judge.judge(line):
            self._stop(reason, line)
        self._on_line(line)

    def _report(self, line: str) -> None:
        if self._on_report(line):
            self.prove()

    def _event(self, name: str, data: Mapping[str, object]) -> None:
        if name == "WATCHDOG":
            self._stop("hung", "its watchdog was no longer fed")
        elif name == "BLOCK_IO_ERROR" and (paused := pause(data)):
            self._stop("paused", paused)
        elif name == "SHUTDOWN":
            self._shutdown = str(data.get("reason", ""))

    def _stop(self, reason: Reason, detail: str) -> None:
        """Only the first trouble counts: the rest follows from it."""
        if self._trouble is None:
            self._trouble = reason, detail
            self._news.set()

    def _judged(self, expected: Expected) -> tuple[Reason, str] | None:
        now = time.monotonic()
        if self._trouble is not None:
            return self._trouble
        if self._gone:
            if status := self._child.process.returncode:
                said = self._child.last_words()
                raise ChildFailed(f"{self._child.name} ended with status {status}: {said}")
            return judge_stop(self._shutdown, expected.end, self._proven)
        if self._proven and expected.end == "proof":
            return "exited", "it gave its proof"
        if now >= self._started + expected.seconds:
            return "deadline", f"no {expected.end} within {expected.seconds:.0f} s"
        if now >= self._heard + expected.quiet:
            return "hung", f"it said nothing for {expected.quiet:.0f} s"
        return None


@contextlib.asynccontextmanager
async def powered_on(
    node: VirtualNode,
    power: PowerOn,
    *,
    logs: Path,
    on_line: Callable[[str], None],
    on_report: Callable[[str], bool],
    answers: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Guest]:
    """Switch `node` on; leaving the context switches it off, if it still runs.

    `on_line` gets each line of the serial console, free of control sequences; `on_report` each
    line written to the virtio-serial port, and says whether it is the proof of success. Both are
    called from the event loop; the folder `logs` gets everything raw. `answers` are what is typed
    at which prompt. Raises ChildFailed when QEMU, or the TPM2 it needs, does not start.
    """
    # QEMU inherits connected sockets: there is no path to agree on and no moment to miss.
    pairs = [socket.socketpair() for _ in range(3)]
    inherited = [theirs.fileno() for _, theirs in pairs]
    streams = [await asyncio.open_connection(sock=ours) for ours, _ in pairs]
    async with contextlib.AsyncExitStack() as parts:
        for _, writer in streams:
            parts.callback(writer.close)
        if power.tpm is not None:
            tpm = await parts.enter_async_context(chip(node.name, power.tpm, logs=logs))
            inherited.append(tpm.fileno())
        try:
            child = await Child.start(
                f"QEMU of {node.name}",
                qemu_argv(node, power, Channels(*inherited)),
                log_file=logs / QEMU_LOG,
                netns=power.netns,
                pass_fds=inherited,
            )
        finally:
            for _, theirs in pairs:
                theirs.close()
        keyboard = Keyboard(streams[0][1], answers)
        guest = Guest(child, Qmp(*streams[2]), on_line, on_report, keyboard)
        following = asyncio.create_task(guest.follow(streams[0][0], streams[1][0], logs))
        try:
            await guest.greet()
            yield guest
        finally:
            await child.stop()
            await following
