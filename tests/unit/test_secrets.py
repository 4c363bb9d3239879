# SPDX-License-Identifier: GPL-2.0-or-later
"""Passphrases that the server keeps for nodes."""

import re
from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server.cli import main
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.secrets import node_secrets, read_secret


def test_made_once_and_kept(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    made = node_secrets(paths, "n1", ["root", "data"])
    assert node_secrets(paths, "n1", ["root", "data"]) == made
    assert len({*made.values(), *node_secrets(paths, "n2", ["root"]).values()}) == 3
    for secret in made.values():
        assert re.fullmatch(r"([a-z2-9]{5}-){4}[a-z2-9]{5}", secret)


def test_nobody_else_reads_them(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    node_secrets(paths, "n1", ["root"])
    path = paths.secret("n1", "root")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_one_that_is_not_there(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    node_secrets(paths, "n1", ["root"])
    with pytest.raises(BadInput, match="no secret of boot of node n1") as caught:
        read_secret(paths, "n1", "boot")
    assert caught.value.hint == "there is root"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = node_secrets(SitePaths(tmp_path), "n1", ["root"])["root"]
    assert main(["--site", str(tmp_path), "secret", "n1", "root"]) == 0
    assert capsys.readouterr().out == f"{secret}\n"
    assert main(["--site", str(tmp_path), "secret", "n1", "rot"]) == 1
    assert "no secret of rot" in capsys.readouterr().err
