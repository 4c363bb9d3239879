# SPDX-License-Identifier: GPL-2.0-or-later
"""A rollout on a terminal, and in a log."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from tests.unit.test_rollouts import T0, rollout

from swarmstrap_server.commands import following
from swarmstrap_server.control.client import Operator
from swarmstrap_server.rollouts.values import MemberState, Pace, Rollout


def looks() -> list[Rollout]:
    """Of three nodes: all at work, one done, all done."""
    begun = rollout(3, Pace())

    def at(*states: MemberState) -> Rollout:
        pairs = zip(begun.members, states, strict=True)
        return replace(begun, members=tuple(replace(m, state=state) for m, state in pairs))

    working = at("deploying", "deploying", "booting")
    ended = replace(at("deployed", "deployed", "deployed"), ended=T0 + 90)
    return [working, working, at("deployed", "deploying", "deploying"), ended]


class Told(Operator):
    """A server that is asked about one rollout, and has another answer each time."""

    def __init__(self, answers: Sequence[Rollout]) -> None:
        super().__init__(Path("/nonexistent"))
        self._answers = iter(answers)

    def rollout(self, key: str) -> Rollout:
        return next(self._answers)


def said(
    monkeypatch: pytest.MonkeyPatch,
    *,
    terminal: bool,
    quiet: bool = False,
    answers: Sequence[Rollout] = (),
) -> str:
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.01)
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    ended = following.wait(Told(answers or looks()), "r", console, quiet=quiet)
    assert ended.ended == T0 + 90
    return text.getvalue()


def test_a_log_has_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, terminal=False).splitlines() == [
        "1 booting, 2 deploying",
        "2 deploying, 1 deployed",
        "3 deployed",
        "debian:1 to 3 nodes: all done in 90 s",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_who_failed_is_said_at_once_and_once(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    working, *_ = looks()
    first, *others = working.members
    failed = replace(first, state="failed", reason="no [disk] matches")
    one = replace(working, members=(failed, *others))
    done = tuple(replace(m, state="deployed") for m in others)
    ended = replace(one, members=(failed, *done), ended=T0 + 90)
    text = said(monkeypatch, terminal=terminal, answers=[working, one, one, ended])
    at_once = text.index(f"{first.node} failed: no [disk] matches")
    assert at_once < text.index("2 of 3 done in")
    assert text.count(" failed: no [disk] matches") == 1


def test_a_terminal_has_a_bar_with_counts_rate_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = said(monkeypatch, terminal=True)
    assert "1 booting, 2 deploying" in drawn
    assert "1/3" in drawn
    assert "nodes/min" in drawn
    assert "0:00:" in drawn
    assert drawn.splitlines()[-1].endswith("debian:1 to 3 nodes: all done in 90 s")


def test_a_program_is_told_nothing_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, terminal=True, quiet=True) == ""
