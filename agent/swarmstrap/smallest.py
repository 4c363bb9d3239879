# SPDX-License-Identifier: GPL-2.0-or-later
"""The least of which a volume can be made: what the tools refuse is refused before disks are
wiped. Pure.
"""

from collections.abc import Container, Iterable

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Format
from swarmstrap.placing import PlacedVolume
from swarmstrap.units import Bytes, MiB, human
from swarmstrap.volumes import Volume

# Of xfsprogs from 5.19 on, and of btrfs-progs with metadata twice on one disk. mke2fs and mkswap
# take whatever a partition can be.
_LEAST: dict[Format, Bytes] = {"xfs": Bytes(300 * MiB), "btrfs": Bytes(109 * MiB)}
# On stripes mkfs.xfs makes eight groups, and its log of 64 MiB at least has to lie in one.
_LEAST_STRIPED_XFS = Bytes(520 * MiB)
# FAT16 has 4085 clusters at least (fatgen103); of mkfs.vfat's clusters these, by sector size.
_LEAST_FAT = {512: Bytes(9 * MiB), 4096: Bytes(64 * MiB)}


def check_filesystems(volumes: Iterable[PlacedVolume], striped: Container[Volume]) -> None:
    """Raises Unplannable for the first that is to be made and too small for its filesystem.

    `striped` are those that lie on stripes of md, or on the chunks of a pool, and tell mkfs so.
    """
    for placed in volumes:
        if placed.format and not placed.preserved:
            least, purpose = _least(placed.format, placed.sector), f" for {placed.format}"
            if placed.format == "xfs" and placed.volume in striped:
                least, purpose = _LEAST_STRIPED_XFS, " for xfs on stripes"
            _check(placed.volume, placed.size, least, purpose)


def check_made(volume: Volume, size: int) -> None:
    """Raises Unplannable when what `volume` is made of is taken up by what md or LUKS keep."""
    _check(volume, size, MiB, "")


def _least(form: Format, sector: int) -> Bytes:
    return _LEAST_FAT.get(sector, MiB) if form == "vfat" else _LEAST.get(form, MiB)


def _check(volume: Volume, size: int, least: Bytes, purpose: str) -> None:
    if size < least:
        raise Unplannable(
            f"{volume} would have {human(max(0, size))}, and {human(least)} is the least{purpose}",
            hint="raise its size, or size_min, or that of what it lies on; or take a larger disk",
        )
