# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes have one unit, `Bytes`; `Sectors` is another type and meets it only here."""

import re
from typing import NewType

from swarmstrap.errors import BadInput

Bytes = NewType("Bytes", int)
Sectors = NewType("Sectors", int)

KiB = Bytes(1 << 10)
MiB = Bytes(1 << 20)
GiB = Bytes(1 << 30)
TiB = Bytes(1 << 40)

_UNITS = {
    "": 1,
    "B": 1,
    "KiB": KiB,
    "MiB": MiB,
    "GiB": GiB,
    "TiB": TiB,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
# As many digits as any disk has bytes, and no more: Python refuses to read numbers of thousands.
_NUMBER = r"(\d{1,20}(?:\.\d{1,20})?)"
_SIZE = re.compile(rf"{_NUMBER}\s*([A-Za-z]*)")
_SHARE = re.compile(rf"{_NUMBER}\s*%")


def parse_size(text: str) -> Bytes:
    """`"512MiB"`, `"1.5 GiB"`, `"4096"` as whole bytes; raises BadInput for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        raise BadInput(f"not a size: {text!r}", hint="write a number and a unit, as in 512MiB")
    size = (
        float(match[1]) * _UNITS[match[2]] if "." in match[1] else int(match[1]) * _UNITS[match[2]]
    )
    return Bytes(int(size))


def is_share(text: str) -> bool:
    """Whether `text` is a share of some room, as in `25%`, and no size by itself."""
    return text.strip().endswith("%")


def parse_share(text: str, room: int) -> Bytes:
    """A size, or a share of `room` bytes; raises BadInput for what is neither."""
    if not is_share(text):
        return parse_size(text)
    match = _SHARE.fullmatch(text.strip())
    percent = float(match[1]) if match else 0
    if not 0 < percent <= 100:
        raise BadInput(f"not a share: {text!r}", hint="write more than 0% and at most 100%")
    return Bytes(int(room * percent / 100))


def human(size: int) -> str:
    """For people: the largest binary unit that leaves a number of at least one."""
    for unit, name in ((TiB, "TiB"), (GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if abs(size) >= unit:
            return f"{size / unit:.1f} {name}".replace(".0 ", " ")
    return f"{size} B"


def to_sectors(size: Bytes, sector_size: int) -> Sectors:
    """Whole sectors that hold `size`; raises ValueError when it is not a multiple."""
    count, rest = divmod(size, sector_size)
    if rest:
        raise ValueError(f"{size} bytes are not whole sectors of {sector_size}")
    return Sectors(count)


def align_up(size: int, step: int) -> Bytes:
    """The first multiple of `step` that is not below `size`."""
    return Bytes(-(-size // step) * step)


def align_down(size: int, step: int) -> Bytes:
    """The last multiple of `step` that is not above `size`."""
    return Bytes(size // step * step)
