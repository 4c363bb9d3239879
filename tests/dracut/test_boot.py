# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel, this initramfs and a stand-in for the agent: dracut's hooks start it and judge it."""

import asyncio
import secrets
from pathlib import Path

import pytest
from tests.dracut.installer import SYSTEMD, Installer

from swarmstrap.units import Bytes, GiB
from swarmstrap_server.installer import overlay
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import REPORT_PORT, KernelBoot, PowerOn, VirtualNode
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import Ended, Expected

NODE = VirtualNode(
    name="installer",
    mac="52:54:00:77:00:02",
    uuid="00000000-0000-4000-8000-000000000078",
    memory=Bytes(GiB),
)
# Python prefers this source to the byte code of the real module beside it.
AGENT = """
import os, subprocess, sys
import aiohttp, libtorrent, msgspec, parted, pyudev, zstandard

def main():
    assert sys.argv[1:] == ["boot"] and os.isatty(0) and os.isatty(1)
    subprocess.run(["udevadm", "settle", "--timeout=30"], check=True)
    with open("/dev/virtio-ports/@PORT@", "w") as port:
        print("@NONCE@", file=port)
    return 3
"""


@pytest.fixture(scope="module")
def speed(installer: Installer) -> Speed:
    kernel = Path("/boot", f"vmlinuz-{installer.built.release}")
    return asyncio.run(measure(kernel, Path("build/lab")))


async def boot(image: Path, kernel: Path, speed: Speed, folder: Path) -> tuple[Ended, list[str]]:
    """Boot `image` with the stand-in until it has reported and dracut's hook has said so."""
    nonce = secrets.token_hex(8)
    source = AGENT.replace("@NONCE@", nonce).replace("@PORT@", REPORT_PORT).encode()
    whole = folder / "whole.img"
    overlay.append(image, {"/opt/swarmstrap/swarmstrap/cli.py": source}, whole)
    arguments = "console=ttyS0,115200 panic=-1"
    power = PowerOn(accelerator=speed.accelerator, kernel=KernelBoot(kernel, whole, arguments))
    said: list[str] = []
    reported = False

    def on_report(line: str) -> bool:
        nonlocal reported
        reported = line == nonce
        return False

    def on_line(line: str) -> None:
        said.append(line)
        if reported and line.startswith("swarmstrap: press Enter"):
            guest.prove()

    async with powered_on(NODE, power, logs=folder, on_line=on_line, on_report=on_report) as guest:
        ended = await guest.ended(Expected("proof", speed.deadline(150), speed.deadline(150)))
    return ended, said


async def test_without_systemd(installer: Installer, speed: Speed, tmp_path: Path) -> None:
    ended, said = await boot(installer.generic, installer.built.kernel, speed, tmp_path)
    assert ended.good, ended
    assert "swarmstrap: the agent ended with status 3; this node restarts in 60 s" in said


@pytest.mark.skipif(not SYSTEMD.exists(), reason="no systemd on this machine for dracut to take")
async def test_with_systemd(
    installer: Installer, default_image: Path, speed: Speed, tmp_path: Path
) -> None:
    ended, said = await boot(default_image, installer.built.kernel, speed, tmp_path)
    assert ended.good, ended
    assert "swarmstrap: the agent ended with status 3; this node restarts in 60 s" in said
