# SPDX-License-Identifier: GPL-2.0-or-later
"""The least of which a volume can be made: what the tools refuse is refused before disks are
wiped. Pure.
"""

from collections.abc import Iterable

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Format
from swarmstrap.placing import PlacedVolume
from swarmstrap.units import Bytes, KiB, MiB, human
from swarmstrap.volumes import Volume

# Of xfsprogs from 5.19 on, and of btrfs-progs with metadata twice on one disk. mke2fs and mkswap
# take whatever a partition can be.
_LEAST: dict[Format, Bytes] = {
    "xfs": Bytes(300 * MiB),
    "btrfs": Bytes(109 * MiB),
    "ext4": MiB,
    "swap": Bytes(64 * KiB),
}
# FAT16 has 4085 clusters at least (fatgen103); of mkfs.vfat's clusters these, by sector size.
_LEAST_FAT = {512: Bytes(9 * MiB), 4096: Bytes(64 * MiB)}


def check_filesystems(volumes: Iterable[PlacedVolume]) -> None:
    """Raises Unplannable for the first that is to be made and too small for its filesystem."""
    for placed in volumes:
        if placed.format and not placed.preserved:
            least = _least(placed.format, placed.sector)
            _check(placed.volume, placed.size, least, f" for {placed.format}")


def check_made(volume: Volume, size: int) -> None:
    """Raises Unplannable when what `volume` is made of is taken up by what md or LUKS keep."""
    _check(volume, size, MiB, "")


def _least(form: Format, sector: int) -> Bytes:
    return _LEAST_FAT.get(sector, MiB) if form == "vfat" else _LEAST[form]


def _check(volume: Volume, size: int, least: Bytes, purpose: str) -> None:
    if size < least:
        raise Unplannable(
            f"{volume} would have {human(max(0, size))}, and {human(least)} is the least{purpose}",
            hint="raise its size, or size_min, or that of what it lies on; or take a larger disk",
        )
