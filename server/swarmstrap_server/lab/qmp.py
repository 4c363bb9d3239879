# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor protocol (QMP): commands with an answer, events to a callback."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from swarmstrap.errors import SwarmstrapError

_SECONDS = 10.0


class _Error(msgspec.Struct, frozen=True):
    desc: str


class _Message(msgspec.Struct, frozen=True):
    """A greeting, an event or an answer; which one is seen by what is there."""

    event: str = ""
    data: dict[str, object] = {}
    id: int | None = None
    error: _Error | None = None


class Qmp:
    """A monitor on a connected socket; `follow` must run for `execute` to be answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[_Error | None]] = {}
        self._sent = 0

    async def follow(self, on_event: Callable[[str, Mapping[str, object]], None]) -> None:
        """Call `on_event(name, data)` and hand out answers until QEMU closes its end."""
        decode = msgspec.json.Decoder(_Message).decode
        with contextlib.suppress(ConnectionError):
            async for line in self._reader:
                message = decode(line)
                if message.event:
                    on_event(message.event, message.data)
                elif message.id is not None and message.id in self._answers:
                    self._answers.pop(message.id).set_result(message.error)
        for answer in self._answers.values():
            answer.set_result(_Error("QEMU has ended"))
        self._answers.clear()

    async def execute(self, command: str, **arguments: object) -> None:
        """Run one command; raises SwarmstrapError when QEMU refuses it or does not answer."""
        self._sent += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._sent] = answer
        request = {"execute": command, "arguments": arguments, "id": self._sent}
        self._writer.write(msgspec.json.encode(request) + b"\n")
        try:
            error = await asyncio.wait_for(answer, _SECONDS)
        except TimeoutError as late:
            raise SwarmstrapError(f"QEMU did not answer {command} in {_SECONDS:.0f} s") from late
        if error is not None:
            raise SwarmstrapError(f"QEMU refused {command}: {error.desc}")
