# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that bring an image onto the disks."""

from dataclasses import dataclass
from typing import Literal

from swarmstrap.layout import Unused
from swarmstrap.units import human
from swarmstrap.volumes import DiskId


def _staged(staging: str, elsewhere: str, room: int) -> str:
    if staging == "memory":
        return f"memory, which has {human(room)} for it"
    return f"{elsewhere}, since memory has only {human(room)} for it"


@dataclass(frozen=True, slots=True)
class FetchImage:
    """`staging` says where the compressed payload stays to be served to peers, `room` for how many
    bytes of it there is memory.
    """

    name: str
    version: str
    infohash: str
    payload: int
    staging: Literal["memory", "target"]
    room: int

    def __str__(self) -> str:
        place = _staged(self.staging, "the new root", self.room)
        return (
            f"fetch image {self.name} {self.version} ({human(self.payload)}) from the swarm into "
            f"{place}, and write it"
        )


@dataclass(frozen=True, slots=True)
class WriteDiskImage:
    """The first `size` bytes of the disk become those of the image; `unused` is what becomes of
    the parts of them that nothing uses. `staging` says where the compressed payload stays, `room`
    for how many bytes of it there is memory.
    """

    disk: DiskId
    name: str
    version: str
    infohash: str
    payload: int
    size: int
    unused: Unused
    staging: Literal["memory", "tail"]
    room: int
    verify: bool

    def __str__(self) -> str:
        place = _staged(self.staging, "the end of the disk", self.room)
        return (
            f"fetch image {self.name} {self.version} ({human(self.payload)}) from the swarm into "
            f"{place}, write its {human(self.size)} to {self.disk}"
            f"{', and read all of it back' if self.verify else ''}"
        )


@dataclass(frozen=True, slots=True)
class ClearRest:
    """Everything from `start` on, which is behind the image."""

    disk: DiskId
    start: int
    how: Literal["discard", "zero"]

    def __str__(self) -> str:
        last = f"the last {human(self.disk.size - self.start)} of {self.disk.name}"
        return f"discard {last}" if self.how == "discard" else f"fill {last} with zeros"


@dataclass(frozen=True, slots=True)
class UpdateTree:
    """What is mounted becomes the image, but for what `preserve` matches. `deployment` and `node`
    must be those of the system that is there; `mounts` are the paths that belong to it.
    """

    name: str
    version: str
    infohash: str
    payload: int
    staging: Literal["memory", "target"]
    deployment: str
    node: str
    mounts: tuple[str, ...]
    preserve: tuple[str, ...]
    checksum: bool
    allow_older: bool

    def __str__(self) -> str:
        how = "contents" if self.checksum else "sizes and times"
        return (
            f"compare {how} with image {self.name} {self.version}, fetch what differs from the "
            f"swarm into {self.staging}, and write it"
        )


@dataclass(frozen=True, slots=True)
class TidyTree:
    def __str__(self) -> str:
        return "remove what the image does not have"


@dataclass(frozen=True, slots=True)
class VerifyTree:
    """As UpdateTree left it; after a fresh deployment nothing is preserved, and `preserve` None."""

    mounts: tuple[str, ...]
    preserve: tuple[str, ...] | None

    def __str__(self) -> str:
        return "read everything back from the disk, and compare it with the image"


ImageStep = FetchImage | WriteDiskImage | ClearRest | UpdateTree | TidyTree | VerifyTree
