# SPDX-License-Identifier: GPL-2.0-or-later
"""A clock that stands before the initramfs was made; the machine's own is left alone here."""

import os
import time
from pathlib import Path

import pytest

from swarmstrap.effects import clock

THE_YEAR_2000 = 946_684_800.0


class Clock:
    """Stands still where it was set last."""

    def __init__(self, now: float) -> None:
        self.now = now

    def settime(self, which: int, now: float) -> None:
        assert which == time.CLOCK_REALTIME
        self.now = now


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """One of the year 2020, one of 2026 and one that does not exist."""
    files = [tmp_path / name for name in ("agent", "ca.crt", "missing")]
    for path, made in zip(files, (1_600_000_000, 1_780_000_000), strict=False):
        path.write_bytes(b"")
        os.utime(path, (made, made))
    return files


@pytest.mark.parametrize(
    ("now", "then"),
    [(THE_YEAR_2000, 1_780_000_000.0), (1_700_000_000.0, 1_780_000_000.0), (1.9e9, 1.9e9)],
)
def test_it_is_never_before_the_newest_file(
    files: list[Path], now: float, then: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Clock(now)
    monkeypatch.setattr(time, "time", lambda: machine.now)
    monkeypatch.setattr(time, "clock_settime", machine.settime)
    assert clock.forward(files) == then - now
    assert machine.now == then
    assert clock.forward(files) == 0.0


@pytest.mark.parametrize(
    ("ahead", "then"), [(2 * 86400.0, 1.9e9 - 2 * 86400), (-3600.0, 1.9e9 + 3600), (30.0, 1.9e9)]
)
def test_it_follows_the_server_where_the_difference_matters(
    ahead: float, then: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Clock(1.9e9)
    monkeypatch.setattr(time, "time", lambda: machine.now)
    monkeypatch.setattr(time, "clock_settime", machine.settime)
    assert clock.follow(ahead) is (then != 1.9e9)
    assert machine.now == then


def test_without_any_of_the_files_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_settime", Clock(0.0).settime)
    assert clock.forward([tmp_path / "missing"]) == 0.0
