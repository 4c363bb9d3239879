# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab's images are made with."""

import subprocess
from pathlib import Path

from swarmstrap_server.lab.debian import (
    SMALL_IMAGE,
    SYSTEMS,
    TPM2_IMAGE,
    DracutSelection,
    mmdebstrap_argv,
)


def test_no_two_systems_are_taken_for_each_other() -> None:
    assert len({selection.version for selection in SYSTEMS.values()}) == len(SYSTEMS)


def test_dracut_is_told_before_there_is_a_kernel_to_run_it(tmp_path: Path) -> None:
    selection = SYSTEMS[TPM2_IMAGE]
    assert isinstance(selection, DracutSelection)
    argv = mmdebstrap_argv("suite", tmp_path / "root", tmp_path, [], selection)
    assert f"--setup-hook={selection.before()}" in argv
    subprocess.run(["sh", "-eu", "-c", selection.before(), "sh", str(tmp_path)], check=True)
    told = (tmp_path / "etc/dracut.conf.d/10-image.conf").read_text()
    assert told == 'add_dracutmodules+=" crypt tpm2-tss "\n'
    small = mmdebstrap_argv("suite", tmp_path / "root", tmp_path, [], SYSTEMS[SMALL_IMAGE])
    assert not any("add_dracutmodules" in word for word in small)
