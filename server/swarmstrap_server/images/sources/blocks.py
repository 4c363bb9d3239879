# SPDX-License-Identifier: GPL-2.0-or-later
"""Which parts of a disk image its filesystems use, as they themselves tell."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.extents import Extents, merged
from swarmstrap.manifest import DiskPartition
from swarmstrap.units import KiB
from swarmstrap_server.images.sources.loops import attached
from swarmstrap_server.run import run

# blkid's names of filesystems, and partclone's. A bitmap may be older than the journal: that of a
# filesystem that was not unmounted says nothing. Some of these programs ask, some do not.
_TOOLS = {
    "ext2": "partclone.extfs",
    "ext3": "partclone.extfs",
    "ext4": "partclone.extfs",
    "xfs": "partclone.xfs",
    "btrfs": "partclone.btrfs",
    "ntfs": "partclone.ntfs",
    "vfat": "partclone.fat",
    "exfat": "partclone.exfat",
}
_SECONDS = 600.0
# The largest page of any machine is that of a swap header; what follows is its last user's memory.
_SWAP_HEADER = 64 * KiB
# NTFS keeps a copy of its boot sector in the last one, behind what it counts as its own.
_LAST = 4 * KiB


@dataclass(frozen=True, slots=True)
class Used:
    """Extents from the start of the disk; `method` is for people and for the manifest."""

    extents: Extents
    method: str
    warning: str = ""


def used_blocks(disk: Path, part: DiskPartition, sector: int) -> Used:
    """All of the partition when nobody knows better."""
    everything: Extents = ((part.start, part.size),)
    if part.filesystem == "swap":
        return Used(((part.start, min(part.size, _SWAP_HEADER)),), "swap: its header only")
    tool = _TOOLS.get(part.filesystem)
    if tool is None:
        return Used(everything, "all blocks")
    what = f"partition {part.number} ({part.filesystem})" if part.number else part.filesystem
    try:
        with attached(disk, start=part.start, size=part.size, sector=sector) as node:
            if not is_clean(part.filesystem, node):
                return Used(everything, "all blocks", _all_of(what, "it was not unmounted"))
            found = _domain(tool, node)
    except CommandFailed as error:
        return Used(everything, "all blocks", _all_of(what, error.message))
    own = [(part.start + start, min(size, part.size - start)) for start, size in found]
    last = (part.start + max(0, part.size - _LAST), min(_LAST, part.size))
    return Used(merged([*own, last]), tool)


def parse_domain(text: str) -> list[tuple[int, int]]:
    """The parts marked `+` in a map as ddrescue writes it: lines of position, size and status."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return [(int(line[0], 16), int(line[1], 16)) for line in lines if line[2:] == ["+"]]


def _domain(tool: str, node: Path) -> list[tuple[int, int]]:
    with tempfile.TemporaryDirectory(prefix="swarmstrap-blocks-") as folder:
        domain, log = Path(folder, "domain"), Path(folder, "log")
        run(
            [tool, "--domain", "--source", node, "--output", domain, "--logfile", log],
            timeout=_SECONDS,
        )
        return parse_domain(domain.read_text())


def is_clean(filesystem: str, node: Path) -> bool:
    """Whether its journal, as far as it has one, has nothing that is not in its place."""
    if filesystem in ("ext3", "ext4"):
        return "needs_recovery" not in run(["dumpe2fs", "-h", node], timeout=_SECONDS).stdout
    if filesystem == "xfs":
        return "<CLEAN>" in run(["xfs_logprint", "-t", node], timeout=_SECONDS).stdout
    if filesystem == "btrfs":
        # No other tree knows of the blocks of its log tree.
        shown = run(["btrfs", "inspect-internal", "dump-super", node], timeout=_SECONDS).stdout
        words = [line.split() for line in shown.splitlines() if line.startswith("log_root\t")]
        return words == [["log_root", "0"]]
    return True


def _all_of(what: str, reason: str) -> str:
    return f"all blocks of {what} are taken, those of deleted files too: {reason}"
