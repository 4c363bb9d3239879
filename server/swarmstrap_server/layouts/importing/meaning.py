# SPDX-License-Identifier: GPL-2.0-or-later
"""What words of other tools are called in a layout: types of partitions, filesystems, sizes."""

import re
from collections.abc import Iterable, Mapping
from typing import TypedDict

from swarmstrap.errors import BadInput
from swarmstrap.layout import Format, PartitionType, RaidLevel
from swarmstrap.tables import ROOT_GUIDS, TYPE_GUIDS
from swarmstrap.units import GiB, KiB, MiB, TiB

# GPT partition types as the node writes them.
TYPES: Mapping[str, PartitionType] = {
    **{guid: kind for kind, guid in TYPE_GUIDS.items()},
    **dict.fromkeys(ROOT_GUIDS.values(), "root"),
}
_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys(("vfat", "fat", "fat12", "fat16", "fat32"), "vfat"),
    **{"ext2": "ext4", "ext3": "ext4", "ext4": "ext4"},
    **{"xfs": "xfs", "btrfs": "btrfs", "swap": "swap"},
}
_LEVELS: Mapping[str, RaidLevel] = {
    **{"0": 0, "1": 1, "4": 4, "5": 5, "6": 6, "10": 10},
    **{"stripe": 0, "mirror": 1},
}
_POWERS = {"": 1, "K": KiB, "M": MiB, "G": GiB, "T": TiB, "P": 1024 * TiB, "E": TiB << 20}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?", re.IGNORECASE)
_LABEL_LIMIT = 36
_COUNTED_UP = re.compile(r"/dev/((sd|hd|vd|xvd)[a-z]+|nvme\d+n\d+|mmcblk\d+)")
NO_LASTING_NAME = "may be another disk after the next boot; serial, wwn or size tell"


class Held(TypedDict):
    """The keys of a layout's Holder that other tools have words for."""

    format: Format | None
    mount: str
    mount_options: str


def nothing_held() -> Held:
    return Held(format=None, mount="", mount_options="defaults")


def format_named(name: str) -> Format | None:
    return _FORMATS.get(name.lower())


def level_named(name: str) -> RaidLevel | None:
    """`raid1`, `1` or `mirror`."""
    return _LEVELS.get(name.lower().removeprefix("raid"))


def disk_hint(path: str) -> dict[str, str | int | bool]:
    """The `match` for a device node or a link to it; empty when it may lead anywhere."""
    if path.startswith("/dev/disk/by-path/"):
        return {"by_path": path}
    return {} if _COUNTED_UP.fullmatch(path) or not path.startswith("/dev/") else {"name": path}


def binary_size(text: str) -> int:
    """In bytes. Both curtin and systemd count `1G` and `1GB` in powers of 1024; raises BadInput."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BadInput(f"not a size: {text!r}", hint="write a number and a unit, as in 8G")
    return int(float(found[1]) * _POWERS[found[2].upper()])


def written(size: int) -> str:
    """`size` in bytes, as a layout has it: in the largest unit of which it is a whole number."""
    for unit, name in ((TiB, "TiB"), (GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def type_for(mount: str, form: Format | None) -> PartitionType:
    """Of a partition that nothing is built on, when only its use is known."""
    if form == "swap":
        return "swap"
    known: dict[str, PartitionType] = {
        "/": "root",
        "/home": "home",
        "/var": "var",
        "/srv": "srv",
        "/boot/efi": "esp",
        "/efi": "esp",
    }
    return known.get(mount, "linux")


def on_esp(kind: PartitionType, held: Held) -> Held:
    """What a partition holds, in a layout's words: every ESP is mounted."""
    return {**held, "mount": held["mount"] or "/boot/efi"} if kind == "esp" else held


class Labels:
    """Names that are fit for a layout, none of them given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, wanted: Iterable[str]) -> str:
        """The first of `wanted` that is free, or the last with a number behind it."""
        names = [name for text in wanted if (name := _label(text))] or ["part"]
        for name in names:
            if name not in self._given:
                break
        else:
            stem, count = names[-1][: _LABEL_LIMIT - 3], 2
            while (name := f"{stem}-{count}") in self._given:
                count += 1
        self._given.add(name)
        return name


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_LABEL_LIMIT]
