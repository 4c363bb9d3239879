# SPDX-License-Identifier: GPL-2.0-or-later
"""What is installed is complete: a wheel has everything that git has of the product."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where in the wheel the folders of this repository are.
PLACES = {
    "agent/swarmstrap": "swarmstrap",
    "server/swarmstrap_server": "swarmstrap_server",
    "boot": "swarmstrap-{version}.data/data/share/swarmstrap/boot",
    "dracut": "swarmstrap-{version}.data/data/share/swarmstrap/dracut",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*command, "--no-deps", "-w", folder, ROOT], check=True, timeout=300)
    (built,) = folder.glob("swarmstrap-*.whl")
    return built


@pytest.mark.parametrize("folder", PLACES)
def test_the_wheel_has_every_file_that_git_has(wheel: Path, folder: str) -> None:
    version = wheel.name.split("-")[1]
    listed = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    files = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    assert files
    place = PLACES[folder].format(version=version)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{place}{name.removeprefix(folder)}" for name in files} - names == set()
