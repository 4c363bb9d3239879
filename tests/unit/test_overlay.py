# SPDX-License-Identifier: GPL-2.0-or-later
"""An overlay leaves the base as it is and adds an archive that cpio reads."""

import subprocess
from pathlib import Path

from swarmstrap_server.installer import overlay


def test_base_is_kept_and_files_follow(tmp_path: Path) -> None:
    base, out = tmp_path / "base.img", tmp_path / "out.img"
    base.write_bytes(b"compressed" * 3)
    overlay.append(base, {"/etc/swarmstrap/ca.crt": b"certificate\n"}, out)

    whole = out.read_bytes()
    assert whole.startswith(base.read_bytes())
    start = whole.index(b"070701")
    assert start % 4 == 0
    assert set(whole[len(base.read_bytes()) : start]) <= {0}

    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    command = ["cpio", "--quiet", "--extract", "--make-directories"]
    subprocess.run(command, input=whole[start:], cwd=unpacked, check=True)
    assert (unpacked / "etc/swarmstrap/ca.crt").read_bytes() == b"certificate\n"
