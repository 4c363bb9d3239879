# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk image runs on, as far as its partitions tell."""

from pathlib import Path

from swarmstrap.manifest import ANY_ARCHITECTURE, DiskFacts, DiskPartition
from swarmstrap_server.images.sources.loops import attached
from swarmstrap_server.run import run

_SECONDS = 60.0
# The UAPI group's Discoverable Partitions Specification: the root partition of each architecture.
ROOTS = {
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "x86_64",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "aarch64",
    "44479540-f297-41b2-9af7-d131d5f0458a": "i686",
    "72ec70a6-cf74-40e6-bd49-4bda08e8f224": "riscv64",
}
_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
# UEFI 2.10, 3.5.1.1: the program that firmware starts from a disk it knows nothing of.
_PROGRAMS = {
    "bootx64.efi": "x86_64",
    "bootaa64.efi": "aarch64",
    "bootia32.efi": "i686",
    "bootriscv64.efi": "riscv64",
}


def runs_on(disk: Path, facts: DiskFacts) -> str:
    """As in `uname -m`; `any` when nothing tells, or more than one thing is told."""
    found = {ROOTS[part.type] for part in facts.partitions if part.type in ROOTS}
    for part in facts.partitions:
        if not found and part.type == _ESP:
            names = _boot_programs(disk, part, facts.logical_sector)
            found = {_PROGRAMS[name] for name in names if name in _PROGRAMS}
    return found.pop() if len(found) == 1 else ANY_ARCHITECTURE


def _boot_programs(disk: Path, esp: DiskPartition, sector: int) -> list[str]:
    with attached(disk, start=esp.start, size=esp.size, sector=sector) as node:
        listed = run(["mdir", "-b", "-i", node, "::/EFI/BOOT"], timeout=_SECONDS, check=False)
    return [line.rpartition("/")[2].lower() for line in listed.stdout.splitlines()]
