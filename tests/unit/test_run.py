# SPDX-License-Identifier: GPL-2.0-or-later
"""The door for commands: what comes out, and what a failure says."""

import os
import time
from pathlib import Path

import pytest

from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed


def test_output_and_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "swordfish")
    completed = run(["env"], timeout=10, env={"NODE": "n1"})
    assert "NODE=n1" in completed.stdout.splitlines()
    assert "LC_ALL=C" in completed.stdout.splitlines()
    assert "swordfish" not in completed.stdout


def test_stdin_is_closed_or_given() -> None:
    assert run(["cat"], timeout=10).stdout == ""
    assert run(["cat"], timeout=10, stdin=b"a\xff").stdout == "a\udcff"


def test_failure_names_command_status_and_last_words() -> None:
    with pytest.raises(StepFailed, match="sh ended with status 3: disk on fire") as caught:
        run(["sh", "-c", "echo disk on fire >&2; exit 3"], timeout=10)
    assert caught.value.hint == "the command was: sh -c 'echo disk on fire >&2; exit 3'"
    assert run(["sh", "-c", "exit 3"], timeout=10, check=False).returncode == 3


def test_missing_program() -> None:
    with pytest.raises(StepFailed, match=r"cannot start mkfs\.nonsense: No such file"):
        run(["mkfs.nonsense"], timeout=10)


def test_deadline_kills_the_whole_group(tmp_path: Path) -> None:
    fifo = tmp_path / "held by the grandchild"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    script = 'echo began; (exec 3>"$0"; exec sleep 60) & wait'
    started = time.monotonic()
    with pytest.raises(StepFailed, match="sh did not end within 1 s: began"):
        run(["sh", "-c", script, fifo], timeout=1)
    assert time.monotonic() - started < 30
    # End of file, not BlockingIOError: nobody has the other end open any more.
    assert os.read(reader, 1) == b""
    os.close(reader)
