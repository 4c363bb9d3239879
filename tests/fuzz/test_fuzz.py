# SPDX-License-Identifier: GPL-2.0-or-later
"""What was found once, and a short look for more. The long one is `python -m tests.fuzz`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fuzz.targets import targets
from tests.fuzz.watched import Watched

from swarmstrap.errors import StepFailed

ROOT = Path(__file__).parents[2]
_SECONDS = 120


@pytest.mark.parametrize("name", targets())
def test_nothing_is_found(name: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--attempts", "100", "--seed", "1", name]
    roots = os.pathsep.join(str(ROOT / part) for part in ("agent", "server", ""))
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": roots},
        timeout=_SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{name}: " in ran.stdout


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.stop()


def test_a_change_outside_the_target_is_a_finding(place: Watched) -> None:
    with place.watching():
        (place.target / "inside").touch()
    with pytest.raises(AssertionError), place.watching():
        (place.folder / "outside/secret").chmod(0o600)


@pytest.mark.parametrize("message", ["two\nlines", "KeyError: 'x'"])
def test_an_error_that_is_not_for_people_is_a_finding(place: Watched, message: str) -> None:
    with pytest.raises(AssertionError), place.watching():
        raise StepFailed(message)
    with pytest.raises(StepFailed, match="one line"), place.watching():
        raise StepFailed("one line")
