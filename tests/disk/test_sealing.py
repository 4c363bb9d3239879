# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd-cryptenroll makes of our command line, with a TPM2 of software."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmstrap.effects.disks import crypt
from swarmstrap.effects.run import run
from swarmstrap.effects.system.sealing import cryptenroll_arguments
from swarmstrap.steps.storage import MakeCrypt
from swarmstrap.steps.system import SealKey
from swarmstrap.units import MiB
from swarmstrap.volumes import ArrayVolume, CryptVolume

VOLUME = CryptVolume("vault", "0d5c2f0e-2bd6-5a31-9f70-3c1f3d3f0a01")
DEVICE = ArrayVolume("system", "0d5c2f0e-2bd6-5a31-9f70-3c1f3d3f0a02")
SECRET = "abcde-fghij-kmnpq-rstuv-wxyz2"
NEEDED = ("swtpm", "systemd-cryptenroll", "cryptsetup")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}"
)


@contextmanager
def chip(state: Path) -> Iterator[str]:
    """What systemd calls the chip. Its control port is the next one."""
    state.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    argv += ["--flags", "not-need-init,startup-clear"]
    argv += ["--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}"]
    with subprocess.Popen(argv) as process:
        try:
            _wait_for(port + 1)
            yield f"swtpm:port={port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"no swtpm at port {port}"
            time.sleep(0.05)


def test_the_tpm2_has_one_key_and_the_server_keeps_its_own(
    sparse: Callable[[int], Path], tmp_path: Path
) -> None:
    header = sparse(64 * MiB)
    step = MakeCrypt(VOLUME, DEVICE, "tpm2")
    run(crypt.format_arguments(step, str(header)), stdin=SECRET.encode(), timeout=120)
    with chip(tmp_path / "tpm") as name:
        for pcrs in ((), (7,)):
            argv = cryptenroll_arguments(SealKey(VOLUME, DEVICE, "systemd", pcrs), str(header))
            argv[argv.index("--tpm2-device=auto")] = f"--tpm2-device={name}"
            run(argv, env={"PASSWORD": SECRET}, timeout=120)
            dumped = run(["cryptsetup", "luksDump", "--dump-json-metadata", header], timeout=60)
            metadata = json.loads(dumped.stdout)
            (token,) = metadata["tokens"].values()
            assert token["type"] == "systemd-tpm2"
            assert token["tpm2-pcrs"] == list(pcrs)
            assert {"0", *token["keyslots"]} == set(metadata["keyslots"])
    opening = ["cryptsetup", "open", "--test-passphrase", "--key-slot=0", "--key-file=-"]
    run([*opening, header], stdin=SECRET.encode(), timeout=120)
