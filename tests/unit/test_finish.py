# SPDX-License-Identifier: GPL-2.0-or-later
"""How a node leaves: by kexec, or through a shell on every console, on real pseudo-terminals."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmstrap.effects.finish import load_command, shell
from swarmstrap.errors import StepFailed
from swarmstrap.steps.leaving import FinishBoot

DEADLINE = 20.0


@dataclass(frozen=True)
class Pty:
    ours: int
    theirs: int

    @property
    def name(self) -> str:
        return os.ttyname(self.theirs).removeprefix("/dev/")

    async def expect(self, text: bytes) -> bytes:
        seen = b""
        async with asyncio.timeout(DEADLINE):
            while text not in seen:
                seen += await asyncio.to_thread(os.read, self.ours, 4096)
        return seen


@pytest.fixture
def ptys(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Pty]]:
    monkeypatch.setenv("SWARMSTRAP_TOKEN", "swordfish")
    pairs = [Pty(*os.openpty()) for _ in range(2)]
    yield pairs
    for pair in pairs:
        os.close(pair.ours)
        os.close(pair.theirs)


async def test_leaving_one_shell_ends_them_all(ptys: list[Pty]) -> None:
    names = [ptys[0].name, "no-such-tty", ptys[1].name]
    running = asyncio.create_task(asyncio.to_thread(shell, names, DEADLINE))
    try:
        for pty in ptys:
            await pty.expect(b"swarmstrap# ")
        os.write(ptys[1].ours, b"[ -t 0 ] && echo $((6*7)) $SWARMSTRAP_TOKEN and no more\n")
        said = await ptys[1].expect(b"42 and no more\r\n")
        assert b"job control turned off" not in said
    finally:
        os.write(ptys[1].ours, b"exit\n")
        async with asyncio.timeout(DEADLINE):
            await running


async def test_a_shell_that_nobody_uses_ends(ptys: list[Pty]) -> None:
    with pytest.raises(StepFailed, match="nobody typed into the shell for 0 min"):
        await asyncio.to_thread(shell, [pty.name for pty in ptys], 0.5)


async def test_whoever_types_keeps_the_shell(ptys: list[Pty]) -> None:
    [pty, other] = ptys
    os.utime(f"/dev/{pty.name}", (1, 1))
    patience, began = 3.0, time.monotonic()
    running = asyncio.create_task(asyncio.to_thread(shell, [other.name, pty.name], patience))
    await pty.expect(b"swarmstrap# ")
    await asyncio.sleep(1.0)
    os.write(pty.ours, b"true\n")
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StepFailed, match="nobody typed"):
            await running
    assert time.monotonic() - began >= 1.0 + patience


async def test_no_console_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(StepFailed, match=r"no console for a shell \(boot with console="):
        await asyncio.to_thread(shell, ["no-such-tty"], DEADLINE)


def test_kexec_starts_the_kernel_of_the_new_system(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1").write_bytes(b"")
    (tmp_path / "vmlinuz").symlink_to("/boot/vmlinuz-6.1")
    step = FinishBoot("kexec", "/vmlinuz", "/boot/initrd", "root=UUID=1 console=ttyS0 quiet")
    assert load_command(step, tmp_path) == [
        "kexec",
        "--kexec-syscall-auto",
        "--command-line=root=UUID=1 console=ttyS0 quiet",
        f"--initrd={tmp_path}/boot/initrd",
        "--load",
        f"{tmp_path}/boot/vmlinuz-6.1",
    ]


def test_a_kernel_without_an_initrd(tmp_path: Path) -> None:
    step = FinishBoot("kexec", "/boot/bzImage", "", "root=/dev/vda1")
    assert not [word for word in load_command(step, tmp_path) if "initrd" in word]
