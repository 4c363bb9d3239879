# SPDX-License-Identifier: GPL-2.0-or-later
"""The units that `make install` places: systemd understands them, and they are allowed little."""

import subprocess
from pathlib import Path

import pytest

from swarmstrap_server.serve import TICK_SECONDS

UNITS = Path(__file__).parents[2] / "systemd"
SECONDS = 30.0
# What `systemd-analyze security` makes of each, times ten; 100 is a service without any limit.
EXPOSURE = {"swarmstrap.service": 31, "swarmstrap-seed@.service": 11}


@pytest.fixture(params=EXPOSURE)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """As it is installed, but for the command, which a test machine need not have."""
    path = tmp_path / str(request.param)
    path.write_text((UNITS / path.name).read_text().replace("/usr/bin/swarmstrap", "/bin/true"))
    return path


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_unit_is_looked_at() -> None:
    assert {path.name for path in UNITS.iterdir()} == set(EXPOSURE)


def test_systemd_understands_it(unit: Path) -> None:
    assert analyze("verify", "--man=no", unit) == ""


def test_it_is_allowed_little(unit: Path) -> None:
    analyze("security", "--offline=yes", f"--threshold={EXPOSURE[unit.name]}", unit)


def test_the_watchdog_has_patience_with_a_busy_server() -> None:
    text = (UNITS / "swarmstrap.service").read_text()
    (seconds,) = (line.partition("=")[2] for line in text.splitlines() if "WatchdogSec" in line)
    assert float(seconds) >= 10 * TICK_SECONDS
