# SPDX-License-Identifier: GPL-2.0-or-later
"""Files with secrets: read when nobody else may, refused in one line otherwise."""

from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server import secretfile


def test_a_secret_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(" a b \n")
    assert secretfile.read(path) == " a b "


def test_what_others_may_read_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("known\n")
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(BadInput, match=rf"others may read it \(chmod 600 {path}\)"):
            secretfile.read(path)


def test_what_is_no_file_with_text(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none cannot be read: No such file"):
        secretfile.read(tmp_path / "none")
    with pytest.raises(BadInput, match="is not a file"):
        secretfile.read(tmp_path)
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff")
    with pytest.raises(BadInput, match="key is not text"):
        secretfile.read(path)
