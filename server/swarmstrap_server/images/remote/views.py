# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filesystems of a running machine make its system, and how each is read at one moment.

A snapshot is one moment of one filesystem; those of several are taken one after the other. All of
it is decided from a survey, and carried out by one script there.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmstrap.errors import BadInput
from swarmstrap.mountinfo import PSEUDO, Mount, contains
from swarmstrap.units import Bytes, MiB, align_up, human
from swarmstrap_server.images.remote.skipping import is_stripped
from swarmstrap_server.images.remote.survey import Survey, Volume
from swarmstrap_server.images.strip import Rule

# Those that keep files on a disk of the machine itself.
_LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "f2fs", "jfs", "reiserfs", "bcachefs", "zfs"}
)
# What is mounted there is a guest, whatever its filesystem.
_GUESTS = (b"/media", b"/mnt", b"/run", b"/snap", b"/tmp")
# A snapshot holds what is overwritten while it lives; when it is full, it is lost.
_SNAPSHOT_SHARE = 5
_SNAPSHOT_LEAST = 20


@dataclass(frozen=True, slots=True)
class Live:
    """Read while it changes."""

    reason: str

    def __str__(self) -> str:
        return f"while it is in use: {self.reason}"


@dataclass(frozen=True, slots=True)
class BtrfsSnapshot:
    def __str__(self) -> str:
        return "from a btrfs snapshot"


@dataclass(frozen=True, slots=True)
class LvmSnapshot:
    """A thin volume's needs no size."""

    volume: Volume
    size: Bytes | None

    def __str__(self) -> str:
        size = f", which may grow to {human(self.size)}" if self.size else ""
        return f"from a snapshot of {self.volume.group}/{self.volume.name}{size}"


View = Live | BtrfsSnapshot | LvmSnapshot


@dataclass(frozen=True, slots=True)
class Part:
    """One filesystem; `inside` is where it is mounted in the tree, whose root is `/`."""

    mount: Mount
    view: View
    inside: bytes


@dataclass(frozen=True, slots=True)
class Views:
    """`parts` begins with the one that holds the directory `path`, the root of the tree.

    `left_out` are mount points in the tree, and what is mounted there.
    """

    path: bytes
    parts: tuple[Part, ...]
    left_out: dict[bytes, str] = field(default_factory=dict)


def choose_views(survey: Survey, rules: Sequence[Rule] = (), *, live: bool = False) -> Views:
    """The filesystem of the path, and those below it that belong to the system, unless `rules`
    remove them. No snapshots are taken when all is to be read `live`.

    Raises BadInput when the path is in a filesystem of the kernel's.
    """
    base = survey.path
    visible = {mount.point: mount for mount in survey.mounts}  # the last one hides the others
    first = visible[max((point for point in visible if contains(point, base)), key=len)]
    if first.filesystem in PSEUDO:
        raise BadInput(
            f"{os.fsdecode(base)} is in a filesystem of the kernel's ({first.filesystem}), which "
            "keeps no files",
            hint="name the root of a system",
        )
    parts = [Part(first, _view(first, survey, live), b"/")]
    left_out: dict[bytes, str] = {}
    for point, mount in sorted(visible.items()):
        if point == first.point or not contains(base, point):
            continue
        inside = point[len(base.rstrip(b"/")) :]
        if any(contains(other, inside) for other in left_out):
            continue
        reason = _guest(mount, inside, [part.mount for part in parts])
        if is_stripped(inside, rules):
            left_out[inside] = "what is mounted there, which is stripped"
        elif reason:
            left_out[inside] = reason
        else:
            parts.append(Part(mount, _view(mount, survey, live), inside))
    return Views(base, tuple(parts), left_out)


def _guest(mount: Mount, inside: bytes, chosen: Sequence[Mount]) -> str:
    """Why what is mounted there is no part of the system; empty when it is one."""
    if mount.filesystem not in _LOCAL:
        return f"what is mounted there ({mount.filesystem}), not a filesystem of a disk"
    if any(contains(place, inside) for place in _GUESTS):
        return f"what is mounted there ({mount.filesystem}), a guest at such a place"
    for other in chosen:
        if other.device == mount.device and (_is_bind(mount) or other.root == mount.root):
            return f"what is mounted there, a part of {os.fsdecode(other.point)} once more"
    return ""


def _is_bind(mount: Mount) -> bool:
    """Whether it is a directory of a filesystem, and not all of it or a subvolume."""
    return mount.root != _subvolume(mount)


def _subvolume(mount: Mount) -> bytes:
    if mount.filesystem != "btrfs":
        return b"/"
    return mount.options.rpartition(b"subvol=")[2]


def _view(mount: Mount, survey: Survey, live: bool) -> View:
    if live:
        return Live("that was asked for")
    if not survey.can_snapshot:
        return Live("its user may run rsync as root, and nothing else")
    if mount.filesystem == "btrfs":
        if not survey.has_btrfs:
            return Live("there is no btrfs command to take a snapshot by")
        return Live("it is a directory of a subvolume") if _is_bind(mount) else BtrfsSnapshot()
    for volume in survey.volumes:
        if volume.device == mount.device:
            return _lvm_view(volume)
    return Live(f"{mount.filesystem} on no logical volume has no snapshots")


def _lvm_view(volume: Volume) -> View:
    if volume.pool:
        return LvmSnapshot(volume, None)
    if volume.free < volume.size // _SNAPSHOT_LEAST:
        return Live(f"volume group {volume.group} has {human(volume.free)} left for a snapshot")
    wanted = align_up(volume.size // _SNAPSHOT_SHARE, 4 * MiB)
    return LvmSnapshot(volume, min(wanted, volume.free))
