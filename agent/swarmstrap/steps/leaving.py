# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that end a deployment."""

from dataclasses import dataclass

from swarmstrap.wire import Finish


@dataclass(frozen=True, slots=True)
class Settle:
    """Everything written reaches the disks and the mounts are gone."""

    def __str__(self) -> str:
        return "sync and unmount the new system"


@dataclass(frozen=True, slots=True)
class Seed:
    seconds: float

    def __str__(self) -> str:
        return f"seed for the peers until released (at most {self.seconds:.0f} s)"


@dataclass(frozen=True, slots=True)
class FinishBoot:
    how: Finish
    kernel: str
    initrd: str
    arguments: str

    def __str__(self) -> str:
        return {
            "reboot": "reboot into the new system",
            "kexec": f"start {self.kernel} directly (kexec)",
            "poweroff": "power off",
            "shell": "stay in a shell",
        }[self.how]


LeavingStep = Settle | Seed | FinishBoot
