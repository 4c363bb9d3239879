# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine behind a simulated BMC: words over a Unix socket, which the simulators send."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

_SECONDS = 20.0


class Machine(Protocol):
    @property
    def is_on(self) -> bool: ...

    def hear(self, word: str) -> None:
        """One of on, off (the system is asked), kill (it is not) and network."""


class Toy:
    """A machine that does at once what it is asked, and notes it."""

    def __init__(self) -> None:
        self.is_on = False
        self.asked: list[str] = []
        # What its system does when it is asked to stop.
        self.stops = True

    def hear(self, word: str) -> None:
        self.asked.append(word)
        if word == "on":
            self.is_on = True
        elif word == "kill" or (word == "off" and self.stops):
            self.is_on = False


@contextlib.asynccontextmanager
async def chassis(machine: Machine, path: Path) -> AsyncIterator[None]:
    """Who connects to the socket `path` says a word; `state` is answered with on or off."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = (await reader.readline()).decode().strip()
        if word != "state":
            machine.hear(word)
        writer.write(b"on\n" if machine.is_on else b"off\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield


def ask(path: str, word: str) -> str:
    """The simulator's side: say `word` to the machine, and whether it is on or off now."""
    with socket.socket(socket.AF_UNIX) as machine:
        machine.settimeout(_SECONDS)
        machine.connect(path)
        machine.sendall(f"{word}\n".encode())
        return machine.makefile().readline().strip()


if __name__ == "__main__":
    print(ask(*sys.argv[1:3]))
