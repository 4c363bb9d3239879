# SPDX-License-Identifier: GPL-2.0-or-later
"""How a virtual node's run ended, judged from what it said and how it stopped. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "exited",
    "panicked",
    "hung",
    "paused",
    "powered-off-early",
    "deadline",
    "failed-line",
    "unplugged",
]
End = Literal["reset", "power-off", "proof"]

_PANIC = re.compile(r"Kernel panic - not syncing|Attempted to kill init")
_FAILED = re.compile(
    r"\bOops: |\bBUG: |\bCall Trace:|general protection fault|EXT4-fs error|"
    r"XFS \(\S+\): Corruption|[Ee]mergency (mode|shell)|dracut: FATAL|Unable to mount root fs"
)
# A slow host makes healthy guests say these, with a call trace after them.
_STALLED = re.compile(r"soft lockup|rcu: INFO: rcu_\w+ .*stall|blocked for more than \d+ seconds")
_EXCUSED_LINES = 120
_CONTROL = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Za-z0-9]|[=>78])|[\x00-\x08\x0b-\x1f\x7f]")

# The reasons that QEMU's SHUTDOWN event gives for what a guest did by itself.
_BY_GUEST: dict[str, End] = {"guest-reset": "reset", "guest-shutdown": "power-off"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one power-on ended. Only `exited` is good: it ended as expected, with its proof given.

    `detail` is one line for a person; `seconds` are from power-on.
    """

    reason: Reason
    detail: str
    seconds: float

    @property
    def good(self) -> bool:
        return self.reason == "exited"


@dataclass(frozen=True, slots=True)
class Expected:
    """How a power-on should end, and how long it may take.

    `end`: the node resets, or powers itself off, or merely gives its proof (and is then stopped).
    `seconds`: the outer limit. `quiet`: how long the node may say nothing at all.
    """

    end: End
    seconds: float
    quiet: float


def may_be_chance(ended: Ended, spoke: bool, before: int) -> bool:
    """Whether a node is switched off and on, as whoever looks after it would: it hung in firmware
    or kernel, whose emulation does so at times, and never `before`. A hung installer has no excuse.
    """
    return ended.reason == "hung" and not spoke and not before


class SerialJudge:
    """Reads a serial console line by line for what a healthy node never says."""

    def __init__(self) -> None:
        self._excused = 0

    def judge(self, line: str) -> Reason | None:
        """Why this line is the end of the run, or None when it is not."""
        if _STALLED.search(line):
            self._excused = _EXCUSED_LINES
        if _PANIC.search(line):
            return "panicked"
        if self._excused:
            self._excused -= 1
            return None
        return "failed-line" if _FAILED.search(line) else None


def clean(line: str) -> str:
    """A console line without colours, cursor movements and control characters."""
    return _CONTROL.sub("", line).rstrip()


def pause(data: Mapping[str, object]) -> str:
    """Why QEMU paused a node, from its event BLOCK_IO_ERROR; empty when the node was told of the
    error, as of a bad sector's.
    """
    if data.get("action") != "stop":
        return ""
    if data.get("nospace"):
        return "paused: this machine has no room left for the files of its disks"
    return f"paused: its disk cannot be used: {data.get('reason') or 'no reason given'}"


def judge_stop(shutdown: str, expected: End, proven: bool) -> tuple[Reason, str]:
    """What it means that QEMU ended; `shutdown` is the reason of its last SHUTDOWN event, or ""."""
    did = _BY_GUEST.get(shutdown)
    if did is None:
        return "powered-off-early", f"QEMU ended by itself ({shutdown or 'no reason given'})"
    words = {"reset": "reset itself", "power-off": "powered itself off"}[did]
    if not proven:
        return "powered-off-early", f"it {words} before giving its proof"
    if expected not in (did, "proof"):
        return "powered-off-early", f"it {words} where a {expected} was expected"
    return "exited", f"it {words}, its proof given"
