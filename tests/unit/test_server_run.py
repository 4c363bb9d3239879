# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's door for commands: what comes out, and what a failure says."""

import time
from pathlib import Path

import pytest

from swarmstrap.command import CommandFailed
from swarmstrap_server.run import conversation, run


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLISHER_PASSPHRASE", "swordfish")
    lines = run(["env"], timeout=10, env={"SITE": "lab"}).stdout.splitlines()
    assert {"SITE=lab", "LC_ALL=C"} <= set(lines)
    assert not [line for line in lines if "swordfish" in line]


def test_stdin_is_closed_or_given() -> None:
    assert run(["cat"], timeout=10).stdout == ""
    assert run(["cat"], timeout=10, stdin=b"a\xff").stdout == "a\udcff"


def test_working_directory(tmp_path: Path) -> None:
    assert run(["pwd"], timeout=10, cwd=tmp_path).stdout == f"{tmp_path}\n"


def test_failure_names_status_last_words_and_command() -> None:
    with pytest.raises(CommandFailed, match="sh ended with status 3: no space") as caught:
        run(["sh", "-c", "echo no space >&2; exit 3"], timeout=10)
    assert caught.value.hint == "the command was: sh -c 'echo no space >&2; exit 3'"


def test_failure_unchecked() -> None:
    completed = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10, check=False)
    assert (completed.returncode, completed.stdout, completed.stderr) == (3, "out\n", "err\n")


def test_signal_has_a_name() -> None:
    with pytest.raises(CommandFailed, match="sh ended with signal SIGTERM: it said nothing"):
        run(["sh", "-c", "kill $$"], timeout=10)


def test_missing_program() -> None:
    with pytest.raises(CommandFailed, match="cannot start dracut-nonsense: No such file"):
        run(["dracut-nonsense"], timeout=10)


def test_missing_namespace() -> None:
    with pytest.raises(CommandFailed, match=r"Cannot open network namespace|Operation not perm"):
        run(["true"], timeout=10, netns="nonsense")


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="sh did not end within 1 s: began"):
        run(["sh", "-c", "echo began; sleep 60 & echo $! >pid; wait"], timeout=1, cwd=tmp_path)
    # The kernel may take a moment to carry out a kill; a survivor would sleep for a minute.
    deadline = time.monotonic() + 10
    while _alive(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < deadline, "the grandchild outlived its group"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().split()[2] not in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_conversation() -> None:
    script = b"echo one; cat >/dev/null; echo two >&2; exit 4\n"
    with conversation(["sh", "-s"], stdin=script) as talk:
        assert talk.hear(10) == b"one\n"
        completed = talk.end(10)
    assert (completed.returncode, completed.stderr) == (4, "two\n")


def test_conversation_with_the_silent() -> None:
    with (
        pytest.raises(CommandFailed, match="sh did not end within 1 s: thinking"),
        conversation(["sh", "-c", "echo thinking >&2; exec sleep 60"]) as talk,
    ):
        talk.hear(1)


def test_conversation_with_a_program_that_is_missing() -> None:
    with conversation(["rsync-nonsense"]) as talk:
        assert talk.hear(10) == b""
        assert "rsync-nonsense: No such file" in talk.end(10).stderr
