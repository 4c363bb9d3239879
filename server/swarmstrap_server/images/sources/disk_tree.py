# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the system on a disk image: mounted for reading, where its fstab says."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from swarmstrap.command import CommandFailed
from swarmstrap.manifest import DiskFacts, DiskPartition
from swarmstrap_server.images.looking import inside
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.architecture import ROOTS
from swarmstrap_server.images.sources.blocks import is_clean
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.fstab import Line, parse_fstab
from swarmstrap_server.images.sources.loops import attached
from swarmstrap_server.images.sources.partitions import guess_sector, read_disk
from swarmstrap_server.images.sources.rawdisk import raw_disk
from swarmstrap_server.run import run

_SECONDS = 120.0
_SAFE = "ro,nosuid,nodev,noexec"
# Nothing is written, not even what a journal holds back.
_OPTIONS = {
    "ext3": ("noload",),
    "ext4": ("noload",),
    "xfs": ("norecovery", "nouuid"),
    "btrfs": ("rescue=nologreplay",),
}
_MOUNTABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "f2fs"})
_CONTAINERS = {"LVM2_member": "LVM", "crypto_LUKS": "LUKS", "linux_raid_member": "MD RAID"}
# Where distributions keep the root within a btrfs, when it is not the default subvolume.
_SUBVOLUMES = ("", "subvol=@", "subvol=root")


@contextmanager
def disk_tree(path: Path, folder: Path, *, sector: int | None = None) -> Iterator[Directory]:
    """Raises CaptureFailed when no partition has a system. Filesystems of its fstab that are not
    here, or that this machine cannot mount, are left out with a warning.
    """
    warnings: list[str] = []
    with raw_disk(path, folder, warnings) as disk, ExitStack() as stack:
        sector = sector or guess_sector(disk.path)
        facts = read_disk(disk, sector, warnings)
        disks = _Partitions(disk.path, sector, facts, warnings, nodes={})
        place = Path(stack.enter_context(TemporaryDirectory(prefix="swarmstrap-tree-")))
        if not disks.mount_root(place, stack):
            raise _no_system(path, facts)
        crossing: list[Path] = []
        for line in parse_fstab(_fstab_of(place)):
            # Without a link in it: those of the image must not lead out of it.
            point = inside(Directory(place, crossing), line.point)
            if point is None or point.kind != "d":
                warnings.append(f"left out {line.point} of its fstab: there is no such directory")
            elif disks.mount_line(line, target := place / os.fsdecode(point.path), stack):
                crossing.append(target)
        tree = Directory(place, crossing)
        tree.name = str(path)
        tree.warnings += warnings
        yield tree


@dataclass(frozen=True, slots=True)
class _Partitions:
    """`nodes` are the devices of those that are mounted, by number."""

    disk: Path
    sector: int
    facts: DiskFacts
    warnings: list[str]
    nodes: dict[int, Path]

    def mount_root(self, place: Path, stack: ExitStack) -> bool:
        """The partition that says it is one comes first; then any that looks like one."""
        parts = [part for part in self.facts.partitions if part.filesystem in _MOUNTABLE]
        for part in sorted(parts, key=lambda part: part.type not in ROOTS):
            for subvolume in _SUBVOLUMES if part.filesystem == "btrfs" else ("",):
                with ExitStack() as trying:
                    with suppress(CommandFailed):
                        trying.enter_context(self._mounted(part, place, subvolume))
                        if _is_system(place):
                            self._warn_of_journal(part)
                            stack.enter_context(trying.pop_all())
                            return True
        return False

    def mount_line(self, line: Line, target: Path, stack: ExitStack) -> bool:
        part = line.find(self.facts.partitions)
        if part is None:
            reason = f"{line.device} is not on this disk"
        else:
            try:
                stack.enter_context(self._mounted(part, target, line.subvolume))
            except CommandFailed as error:
                reason = error.message
            else:
                self._warn_of_journal(part)
                return True
        self.warnings.append(f"left out {line.point} of its fstab: {reason}")
        return False

    @contextmanager
    def _mounted(self, part: DiskPartition, target: Path, subvolume: str) -> Iterator[None]:
        words = [_SAFE, *_OPTIONS.get(part.filesystem, ()), *([subvolume] if subvolume else [])]
        with ExitStack() as attaching:
            # A btrfs is one filesystem however often it is mounted: it wants to be one device, too.
            node = self.nodes.get(part.number)
            if node is None:
                node = self.nodes[part.number] = attaching.enter_context(self._attached(part))
                attaching.callback(self.nodes.pop, part.number)
            run(
                ["mount", "-t", part.filesystem, "-o", ",".join(words), node, target],
                timeout=_SECONDS,
            )
            try:
                yield
            finally:
                run(["umount", target], timeout=_SECONDS)

    def _warn_of_journal(self, part: DiskPartition) -> None:
        with self._attached(part) as node:
            if not is_clean(part.filesystem, node):
                self.warnings.append(
                    f"partition {part.number} ({part.filesystem}) was not unmounted: what only its "
                    "journal has is missing"
                )

    def _attached(self, part: DiskPartition) -> AbstractContextManager[Path]:
        return attached(self.disk, start=part.start, size=part.size, sector=self.sector)


def _is_system(root: Path) -> bool:
    tree = Directory(root)
    return all(inside(tree, name) is not None for name in ("etc", "usr"))


def _fstab_of(root: Path) -> str:
    file = inside(Directory(root), "etc/fstab")
    return (root / os.fsdecode(file.path)).read_text(errors="replace") if file else ""


def _no_system(path: Path, facts: DiskFacts) -> CaptureFailed:
    kinds = {part.filesystem for part in facts.partitions} & _CONTAINERS.keys()
    names = " and ".join(sorted(_CONTAINERS[kind] for kind in kinds))
    hidden = f": it has {names}, which is not opened here" if names else ""
    return CaptureFailed(
        f"{path} has no partition with the root of a system{hidden}",
        hint="capture it --as disk, or the running machine over ssh",
    )
