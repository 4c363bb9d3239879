# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run ended, from console lines and QEMU's own reasons."""

import pytest

from swarmstrap_server.lab.verdict import (
    End,
    Ended,
    Reason,
    SerialJudge,
    clean,
    judge_stop,
    may_be_chance,
    pause,
)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs", "panicked"),
        ("[    2.1] Kernel panic - not syncing: Attempted to kill init!", "panicked"),
        ("[   12.0] BUG: kernel NULL pointer dereference, address: 0", "failed-line"),
        ("[   12.0] Oops: 0002 [#1] PREEMPT SMP NOPTI", "failed-line"),
        ("[   12.0] Call Trace:", "failed-line"),
        ("You are in emergency mode. After logging in, type", "failed-line"),
        ("dracut: FATAL: Don't know how to handle 'root=live'", "failed-line"),
        ("[    1.0] DEBUG: all is well", None),
        ("Debian GNU/Linux 12 node ttyS0", None),
        ("panic=-1 on the command line", None),
    ],
)
def test_one_line(line: str, reason: Reason | None) -> None:
    assert SerialJudge().judge(line) == reason


def test_a_stall_of_a_slow_host_excuses_its_trace_but_not_a_panic() -> None:
    judge = SerialJudge()
    assert judge.judge("watchdog: BUG: soft lockup - CPU#0 stuck for 23s!") is None
    assert judge.judge("Call Trace:") is None
    assert judge.judge("Kernel panic - not syncing: fatal") == "panicked"


def test_the_excuse_of_a_stall_ends() -> None:
    judge = SerialJudge()
    judge.judge("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:")
    for number in range(200):
        judge.judge(f" frame {number}")
    assert judge.judge("Call Trace:") == "failed-line"


@pytest.mark.parametrize(
    ("shutdown", "expected", "proven", "reason"),
    [
        ("guest-reset", "reset", True, "exited"),
        ("guest-shutdown", "power-off", True, "exited"),
        ("guest-shutdown", "proof", True, "exited"),
        ("guest-reset", "reset", False, "powered-off-early"),
        ("guest-shutdown", "power-off", False, "powered-off-early"),
        ("guest-shutdown", "reset", True, "powered-off-early"),
        ("guest-reset", "power-off", True, "powered-off-early"),
        ("host-qmp-quit", "power-off", True, "powered-off-early"),
        ("", "power-off", True, "powered-off-early"),
    ],
)
def test_how_it_stopped(shutdown: str, expected: End, proven: bool, reason: Reason) -> None:
    assert judge_stop(shutdown, expected, proven)[0] == reason


def test_a_console_line_loses_its_colours_and_cursor_movements() -> None:
    raw = "\x1b[2J\x1b[01;01H\x1b[=3h[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh\x1b(B.\r"
    assert clean(raw) == "[  OK  ] Started ssh."


def test_only_what_hangs_before_the_installer_speaks_may_be_chance_and_only_once() -> None:
    hung = Ended("hung", "it said nothing for 225 s", 240.0)
    assert may_be_chance(hung, spoke=False, before=0)
    assert not may_be_chance(hung, spoke=True, before=0)
    assert not may_be_chance(hung, spoke=False, before=1)
    assert not may_be_chance(Ended("panicked", "Kernel panic", 9.0), spoke=False, before=0)


def test_a_full_machine_is_not_taken_for_a_hung_node() -> None:
    full = {"device": "disk0", "operation": "write", "action": "stop", "nospace": True}
    assert pause(full) == "paused: this machine has no room left for the files of its disks"
    broken = {**full, "nospace": False, "reason": "Input/output error"}
    assert pause(broken) == "paused: its disk cannot be used: Input/output error"
    assert pause({**broken, "action": "report"}) == ""
