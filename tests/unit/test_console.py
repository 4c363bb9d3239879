# SPDX-License-Identifier: GPL-2.0-or-later
"""The same events on a screen and on a serial line, over real pseudo-terminals."""

import asyncio
import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmstrap.effects import console
from swarmstrap.effects.console import Console, Terminal, terminals
from swarmstrap.wire import Event


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_a_failure_is_red_on_a_screen_and_plain_on_serial(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    failed = Event(sequence=1, time=0.0, kind="finish", name="ask", result="fail", description="no")
    Console([Terminal("ttyS0", theirs, screen=False)]).hear(failed)
    serial = os.read(ours, 4096)
    Console([Terminal("tty0", theirs, screen=True)]).hear(failed)
    screen = os.read(ours, 4096)
    assert b"\n!!! FAILED: ask\n" in serial
    assert b"\x1b" not in serial
    assert b"\x1b[1;31m!!! FAILED: ask\x1b[0m\n" in screen


async def test_only_the_screen_has_a_living_line(
    pair: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    serial = tmp_path / "ttyS0"
    serial.touch()
    [log] = terminals(["ttyS0"], tmp_path)
    assert not log.screen
    monkeypatch.setattr(console, "_SCREEN_SECONDS", 0.01)
    screen = Console([Terminal("tty0", theirs, screen=True), log])
    screen.hear(Event(sequence=1, time=0.0, kind="start", name="look", description="look around"))
    os.read(ours, 4096)
    living = asyncio.create_task(screen.live())
    seen = await asyncio.to_thread(os.read, ours, 4096)
    living.cancel()
    assert seen.startswith(b"\rlook around ... ")
    assert b"..." not in serial.read_bytes()


def test_a_console_without_hardware_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "tty0").touch()
    assert [t.name for t in terminals(["ttyS1", "tty0"], tmp_path)] == ["tty0"]


def test_a_stuck_terminal_holds_nobody_up(tmp_path: Path) -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    stuck = Console([Terminal("ttyS0", write, screen=False)])
    for _ in range(10_000):
        stuck.lines(["x" * 79])
    os.close(read)
    os.close(write)
