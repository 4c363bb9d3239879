# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the compressed files of an image lie while they are written from and served. Blocking."""

import os
import shutil
from pathlib import Path
from typing import Protocol

from swarmstrap.effects.run import run
from swarmstrap.units import KiB, MiB, align_down, align_up

_MOUNT_SECONDS = 30.0
_MKFS_SECONDS = 300.0
_UNMOUNT_SECONDS = 600.0


class Staged(Protocol):
    @property
    def place(self) -> Path: ...

    @property
    def in_the_way(self) -> bool:
        """Whether the new system cannot be completed while the files are there."""
        ...

    def make(self, size: int, keep: str = "") -> None:
        """Room for files of `size` bytes in all; the folder `keep` may be there already."""

    def remove(self) -> None:
        """As if it had never been."""

    def abandon(self) -> None:
        """After a failure: nothing keeps the target busy. Safe to repeat."""


class InMemory:
    """A tmpfs that holds these files and nothing more. What an earlier try of this boot left there
    is checked like anything that comes from the swarm, and need not come again.
    """

    in_the_way = False

    def __init__(self, place: Path) -> None:
        self.place = place

    def make(self, size: int, keep: str = "") -> None:
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={size + MiB},nr_inodes=64,mode=0700,nodev,nosuid,noexec"
        if self.place.is_mount():
            if keep and (self.place / keep).exists():
                run(["mount", "-o", f"remount,{options}", self.place], timeout=_MOUNT_SECONDS)
                return
            self.remove()
        run(
            ["mount", "-t", "tmpfs", "-o", options, "swarmstrap", self.place],
            timeout=_MOUNT_SECONDS,
        )

    def remove(self) -> None:
        _vanish(self.place)

    def abandon(self) -> None:
        """It is in nobody's way, and of use to whoever tries again."""


class InTree:
    """A folder of the new system."""

    in_the_way = True

    def __init__(self, place: Path) -> None:
        self.place = place

    def make(self, size: int, keep: str = "") -> None:
        if self.place.exists():  # an update that was interrupted leaves it
            self.remove()
        self.place.mkdir(mode=0o700)

    def remove(self) -> None:
        # The directory that held it keeps its time, which is the image's.
        before = self.place.parent.stat()
        shutil.rmtree(self.place)
        os.utime(self.place.parent, ns=(before.st_atime_ns, before.st_mtime_ns))

    def abandon(self) -> None:
        """Whoever tries again makes the filesystem anew, or begins with what was left."""


class BehindImage:
    """A filesystem on the disk `node`, of `disk` bytes, behind an image of `image` bytes."""

    in_the_way = True

    def __init__(self, place: Path, node: str, image: int, disk: int) -> None:
        self.place = place
        self._node = node
        self._start = align_up(image, MiB)
        self._room = align_down(disk, MiB) - self._start

    def make(self, size: int, keep: str = "") -> None:
        # Lost with the node, like memory: neither a journal nor room for root.
        blocks = f"{self._room // KiB}k"
        mkfs = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", "-E"]
        mkfs += [f"offset={self._start},nodiscard", self._node, blocks]
        run(mkfs, timeout=_MKFS_SECONDS)
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The loop device goes when it is unmounted.
        options = f"loop,offset={self._start},sizelimit={self._room},nodev,nosuid,noexec"
        run(["mount", "-t", "ext4", "-o", options, self._node, self.place], timeout=_MOUNT_SECONDS)

    def remove(self) -> None:
        run(["umount", self.place], timeout=_UNMOUNT_SECONDS)

    def abandon(self) -> None:
        _vanish(self.place)


def _vanish(place: Path) -> None:
    if place.is_mount():
        run(["umount", "--lazy", place], timeout=_MOUNT_SECONDS, check=False)
