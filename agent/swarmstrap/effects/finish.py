# SPDX-License-Identifier: GPL-2.0-or-later
"""How a node leaves the initramfs: into the new system, off, or into a person's hands."""

import contextlib
import ctypes
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

from swarmstrap.command import ENVIRONMENT
from swarmstrap.effects.run import run
from swarmstrap.effects.system.chroot import inside
from swarmstrap.errors import StepFailed
from swarmstrap.steps.leaving import FinishBoot

log = logging.getLogger(__name__)

# reboot(2), linux/reboot.h
_RESTART, _POWER_OFF, _KEXEC = 0x01234567, 0x4321FEDC, 0x45584543
_SYSRQ = Path("/proc/sysrq-trigger")
_SYNC_SECONDS = 120.0
_LOAD_SECONDS = 60.0
# A driver that hangs while devices are shut down must not keep the node for ever.
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 5.0

Leave = Literal["reboot", "kexec", "poweroff"]


def load_kernel(step: FinishBoot, root: Path) -> None:
    """Read the new kernel into memory, while the new system is still mounted."""
    run(load_command(step, root), timeout=_LOAD_SECONDS)


def load_command(step: FinishBoot, root: Path) -> list[str]:
    """Kernel and initrd as files of the new system, wherever its symlinks would lead from here."""
    command = ["kexec", "--kexec-syscall-auto", f"--command-line={step.arguments}"]
    if step.initrd:
        command.append(f"--initrd={inside(root, step.initrd)}")
    return [*command, "--load", str(inside(root, step.kernel))]


def leave(how: Leave) -> NoReturn:
    """Sync and go, by the kernel's own hand; by sysrq when that hangs. Never returns."""
    try:
        run(["sync"], timeout=_SYNC_SECONDS)
    except StepFailed as error:
        log.warning("going without a sync: %s", error)
    last_resort = threading.Timer(_PATIENCE_SECONDS, _force, ["o" if how == "poweroff" else "b"])
    last_resort.start()
    libc = ctypes.CDLL(None, use_errno=True)
    commands = {"reboot": _RESTART, "kexec": _KEXEC, "poweroff": _POWER_OFF}
    libc.reboot(commands[how])
    log.error("reboot(2) came back: %s", os.strerror(ctypes.get_errno()))
    _force("o" if how == "poweroff" else "b")
    while True:
        time.sleep(_PATIENCE_SECONDS)


def shell(consoles: Sequence[str], patience: float) -> None:
    """A shell on each console at once; when a person leaves one of them, all end. Blocking.

    Raises StepFailed when nobody has typed on any of them for `patience` seconds.
    """
    shells, terminals = {}, []
    for name in consoles:
        try:
            pid = _spawn_shell(f"/dev/{name}")
        except OSError as error:
            log.warning("no shell on %s: %s", name, error)
            continue
        shells[os.pidfd_open(pid)] = pid
        terminals.append(f"/dev/{name}")
    if not shells:
        raise StepFailed("no console for a shell", hint="boot with console=tty0 or console=ttyS0")
    left = _left_by_a_person(list(shells), terminals, patience)
    for process, pid in shells.items():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(process)
    if not left:
        raise StepFailed(
            f"nobody typed into the shell for {patience / 60:.0f} min",
            hint="boot with the same arguments again for another one",
        )


def _left_by_a_person(processes: list[int], terminals: list[str], patience: float) -> bool:
    """False when nobody has typed for `patience` seconds."""
    typed, deadline = _typed(terminals), time.monotonic() + patience
    while not select.select(processes, [], [], min(patience, _LOOK_SECONDS))[0]:
        if typed != (now := _typed(terminals)):
            typed, deadline = now, time.monotonic() + patience
        elif time.monotonic() >= deadline:
            return False
    return True


def _typed(terminals: list[str]) -> list[float]:
    """When each was read last: the kernel notes it, to 8 seconds (tty_io.c, tty_update_time)."""
    return [os.stat(terminal).st_atime for terminal in terminals]


def _spawn_shell(terminal: str) -> int:
    """Leads a session of its own, so the terminal that it opens first becomes its own, too."""
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-i"],
        {**ENVIRONMENT, "TERM": "linux", "PS1": "swarmstrap# "},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ],
        setsid=True,
    )


def _force(key: str) -> None:
    """What the kernel does for `key` when nothing else works: no shutdown, no flush."""
    _SYSRQ.write_text(key)
