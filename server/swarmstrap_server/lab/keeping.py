# SPDX-License-Identifier: GPL-2.0-or-later
"""A partition that a second deployment has to leave as it is: filled, and looked at afterwards."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import MiB
from swarmstrap_server.run import run

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Start and size in bytes on the disk `path`, and the SHA-256 of every byte."""

    path: Path
    start: int
    size: int
    digest: str

    @classmethod
    def filled(cls, path: Path, label: str) -> Self:
        """The partition whose filesystem has this label, its second half overwritten with what no
        filesystem writes there. Raises SwarmstrapError unless there is one.
        """
        for start, size in _partitions(path):
            if _label(path, start, size) == label:
                _fill(path, start + size // 2, size - size // 2)
                return cls(path, start, size, _digest(path, start, size))
        raise SwarmstrapError(f"{path} has no partition with a filesystem {label}")

    def is_as_it_was(self) -> bool:
        """The same bytes in the same partition."""
        there = (self.start, self.size) in _partitions(self.path)
        return there and _digest(self.path, self.start, self.size) == self.digest


def _partitions(path: Path) -> list[tuple[int, int]]:
    shown = run(["sfdisk", "--json", path], timeout=_SECONDS).stdout
    table = json.loads(shown)["partitiontable"]
    sector = table["sectorsize"]
    return [(part["start"] * sector, part["size"] * sector) for part in table["partitions"]]


def _label(path: Path, start: int, size: int) -> str:
    command = ["blkid", "--probe", f"--offset={start}", f"--size={size}", "--match-tag=LABEL"]
    return run([*command, "--output=value", path], timeout=_SECONDS, check=False).stdout.strip()


def _fill(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as disk:
        disk.seek(start)
        for offset in range(start, start + size, MiB):
            length = min(MiB, start + size - offset)
            disk.write(hashlib.shake_128(str(offset).encode()).digest(length))


def _digest(path: Path, start: int, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as disk:
        disk.seek(start)
        for offset in range(0, size, MiB):
            digest.update(disk.read(min(MiB, size - offset)))
    return digest.hexdigest()
