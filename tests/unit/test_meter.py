# SPDX-License-Identifier: GPL-2.0-or-later
"""What long image commands show meanwhile: a bar on a terminal, and nothing to machines."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.publishing import Site

from swarmstrap_server import cli
from swarmstrap_server.site.paths import SitePaths

SECONDS = 30.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one image, and the keys that allow it."""
    site = Site(tmp_path)
    site.image()
    signers = SitePaths(tmp_path).allowed_signers
    signers.parent.mkdir()
    shutil.copy(site.signers.allowed, signers)
    return tmp_path


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """stderr is one, as wide as a bar needs; gives what was written to it, after the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    near, far = os.openpty()
    written: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(near, written), daemon=True)
    reader.start()
    with open(far, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        yield lambda: b"".join(written).decode()
    reader.join(SECONDS)
    assert not reader.is_alive(), "the terminal was not closed"
    os.close(near)


def _drain(terminal: int, written: list[bytes]) -> None:
    try:
        while data := os.read(terminal, 65536):
            written.append(data)
    except OSError:
        return  # nobody has it open any more


def run(root: Path, *arguments: str) -> None:
    assert cli.main(["--site", str(root), "image", *arguments]) == 0


@pytest.mark.parametrize("target", ["out", "out.tar"])
def test_a_terminal_sees_how_far_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    with terminal(monkeypatch) as said:
        run(root, "export", "system", str(root / target))
    assert "exporting system:1 " in said()
    assert "MiB" in said()
    assert "0:00:00" in said()
    run(root, "rm", "system:1")
    with terminal(monkeypatch) as said:
        run(root, "import", str(root / target))
    assert "verifying system:1 " in said()


def test_a_machine_is_shown_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run(root, "export", "system", str(root / "a.tar"))
    with terminal(monkeypatch) as said:
        run(root, "export", "system", str(root / "b.tar"), "--json")
    run(root, "export", "system", "-")
    assert said() == ""
    assert capfd.readouterr().err == ""
