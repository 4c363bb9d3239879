# SPDX-License-Identifier: GPL-2.0-or-later
"""What was found once, and a short look for more. The long one is `python -m tests.fuzz`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz.targets import targets

ROOT = Path(__file__).parents[2]
_SECONDS = 120


@pytest.mark.parametrize("name", targets())
def test_nothing_is_found(name: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "0.03", "--seed", "1", name]
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
