# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC that speaks Redfish over HTTPS: sushy-tools' emulator, with a machine of ours behind it."""

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
from tests.bmc.chassis import Machine, chassis
from tests.bmc.waiting import answers

from swarmstrap_server.process import Child
from swarmstrap_server.site.paths import SitePaths

USER, PASSWORD = "admin", "Secret4redfish"
SYSTEM = "/redfish/v1/Systems/27946b59-9e44-4fa7-8e91-f3527a1ef094"
_TREE = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def bmc(
    machine: Machine,
    folder: Path,
    site: SitePaths,
    address: str,
    port: int,
    *,
    netns: str | None = None,
) -> AsyncIterator[None]:
    """It answers from the beginning of the context on, with the certificate of the site's server.
    `folder` is new, its files are here.
    """
    folder.mkdir()
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
    (folder / "emulator.conf").write_text(
        f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'htpasswd')!r}\n"
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n"
    )
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.bmc.emulator",
        folder / "chassis",
        "--fake",
    ]
    argv += ["--config", folder / "emulator.conf", "--interface", address, "--port", str(port)]
    argv += ["--ssl-certificate", site.server_certificate, "--ssl-key", site.server_key]
    async with chassis(machine, folder / "chassis"):
        child = await Child.start(
            "sushy-emulator",
            argv,
            log_file=folder / "log",
            netns=netns,
            env={"PYTHONPATH": f"{_TREE}:{_TREE / 'agent'}:{_TREE / 'server'}"},
        )
        try:
            root = f"https://{address}:{port}/redfish/v1"
            await answers(["curl", "-s", "-k", "-m", "2", "-o", "/dev/null", root], netns)
            yield
        finally:
            await child.stop()
