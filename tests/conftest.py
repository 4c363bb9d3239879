# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts what ran per tier (the folder below tests/), and says why a test was skipped."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

BUILD = Path(__file__).parents[1] / "build"
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(BUILD / "hypothesis"))
# A machine that others use too is no property of the code.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite what is expected, for review")


def _tier(nodeid: str) -> str:
    return nodeid.split("/")[1] if nodeid.startswith("tests/") else "other"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran: dict[str, Counter[str]] = defaultdict(Counter)
    skipped: list[tuple[str, str]] = []
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, []):
            ran[_tier(report.nodeid)][outcome] += 1
            if outcome == "skipped":
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "no reason"
                skipped.append((report.nodeid, reason))
    terminalreporter.section("tiers")
    for tier, counts in sorted(ran.items()):
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        terminalreporter.line(f"{tier:8} {said}")
    for nodeid, reason in skipped:
        terminalreporter.line(f"skipped  {nodeid}: {reason}")
