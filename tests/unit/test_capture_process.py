# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture as a process of its own: the same bytes whatever is around it, and nothing left behind
however it ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.trees import nasty_system, needs_root, scratch, small_system

from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.paths import SitePaths

COMMAND = [sys.executable, "-m", "swarmstrap_server.cli"]
# On shared processors; it begins to write within a second when it is alone.
DEADLINE = 60.0


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch() as path:
        SitePaths(path).keys.mkdir()
        Key.generate(SitePaths(path).publisher)
        yield path


def command(place: Path, source: Path, image: str, *options: str) -> list[str]:
    return [*COMMAND, "--site", str(place), "capture", str(source), image, "--level=1", *options]


def environment(**values: str) -> dict[str, str]:
    paths = [str(Path(name).resolve()) for name in ("agent", "server")]
    return os.environ | {"PYTHONPATH": ":".join(paths)} | values


@needs_root
def test_nothing_around_it_makes_a_difference(place: Path) -> None:
    """Another filesystem has other holes, another order of names and of attributes."""
    tree, other = place / "tree", place / "other"
    tree.mkdir()
    other.mkdir()
    nasty_system(tree)
    around: dict[str, tuple[Path, int, int, Mapping[str, str]]] = {
        "1": (tree, 0o077, 2, {"LC_ALL": "C", "PYTHONHASHSEED": "1", "TZ": "UTC"}),
        "2": (other, 0o000, 1, {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"}),
    }
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noatime,mode=0755", "tmpfs", other], check=True)
    found = []
    try:
        subprocess.run(["cp", "-a", f"{tree}/.", other], check=True)
        for version, (source, umask, cores, values) in around.items():
            argv = command(place, source, f"same:{version}", "--keep=all", "--json")
            ran = subprocess.run(
                ["taskset", "-c", f"0-{cores - 1}", *argv],
                check=True,
                umask=umask,
                env=environment(**values),
                stdout=subprocess.PIPE,
            )
            found.append(json.loads(ran.stdout))
    finally:
        subprocess.run(["umount", other], check=True)
    one, two = found
    assert one["payload"] == two["payload"]
    assert one["index"] == two["index"]
    assert one["left_out"] == two["left_out"]


@pytest.fixture(scope="module")
def endless(place: Path) -> Path:
    """A system that takes long enough to be interrupted."""
    source = place / "endless"
    small_system(source)
    (source / "data").mkdir()
    for number in range(40):
        (source / f"data/{number}").write_bytes(os.urandom(8 << 20))
    return source


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_interruption_leaves_no_image(
    place: Path, endless: Path, tmp_path: Path, name: str
) -> None:
    store = ImageStore(place / "images")
    image = f"{name.lower()}:1"
    process = subprocess.Popen(
        command(place, endless, image), env=environment(), stderr=subprocess.DEVNULL
    )
    folder = store.root / name.lower()
    try:
        wait_for_payload(folder, process)
        process.send_signal(signal.Signals[name])
        status = process.wait(DEADLINE)
    finally:
        process.kill()
        process.wait()
    assert status == (-signal.SIGKILL if name == "SIGKILL" else 130)
    assert store.ls(name.lower()) == ()
    assert folder.exists() == (name == "SIGKILL")
    small = tmp_path / "small"
    small_system(small)
    subprocess.run(command(place, small, image), env=environment(), check=True)
    assert os.listdir(folder) == ["1"]


def wait_for_payload(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the first frame is written."""
    deadline = time.monotonic() + DEADLINE
    while not any(path.stat().st_size for path in folder.glob(".*/root.tar.zst")):
        assert process.poll() is None, "it ended before it was interrupted"
        assert time.monotonic() < deadline, "it wrote nothing"
        time.sleep(0.01)
