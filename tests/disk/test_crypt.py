# SPDX-License-Identifier: GPL-2.0-or-later
"""What cryptsetup makes of our command line, on an image file."""

import json
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmstrap.command import CommandFailed
from swarmstrap.effects.disks import crypt, volumes
from swarmstrap.effects.run import run
from swarmstrap.steps.storage import MakeCrypt
from swarmstrap.units import MiB
from swarmstrap.volumes import ArrayVolume, CryptVolume

UUID = "0d5c2f0e-2bd6-5a31-9f70-3c1f3d3f0a01"
SECRET = "a secret with blanks, and no newline"
STEP = MakeCrypt(CryptVolume("vault", UUID), ArrayVolume("legs", UUID), "server")


@pytest.fixture
def header(sparse: Callable[[int], Path]) -> Path:
    path = sparse(64 * MiB)
    run(crypt.format_arguments(STEP, str(path)), stdin=SECRET.encode(), timeout=120)
    return path


def opens(header: Path, secret: str) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--key-file=-", str(header)]
    return not subprocess.run(command, input=secret.encode(), capture_output=True).returncode


def test_a_header_that_a_small_node_can_open(header: Path) -> None:
    dump = ["cryptsetup", "luksDump", "--dump-json-metadata", str(header)]
    said = json.loads(subprocess.check_output(dump))
    (slot,) = said["keyslots"].values()
    assert (slot["kdf"]["type"], slot["kdf"]["memory"], slot["kdf"]["time"]) == (
        "argon2id",
        64 * 1024,
        4,
    )
    # What the planner counts on: 16 MiB before the data.
    assert said["segments"]["0"]["offset"] == str(16 * MiB)
    found = subprocess.check_output(["cryptsetup", "luksUUID", header], text=True)
    assert found.strip() == UUID
    assert opens(header, SECRET)
    assert not opens(header, SECRET + "\n")


def test_the_secret_is_in_no_log_and_in_no_error(
    sparse: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nothing to encrypt, so cryptsetup complains."""
    monkeypatch.setattr(volumes, "node", lambda volume: str(sparse(MiB)))
    with caplog.at_level(logging.DEBUG), pytest.raises(CommandFailed) as failed:
        crypt.make(STEP, SECRET)
    assert "cryptsetup luksFormat" in caplog.text
    assert SECRET not in caplog.text + str(failed.value)
