# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of an fstab that name filesystems of the system's own disk. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmstrap.manifest import DiskPartition

_BY_LINK = re.compile(r"/dev/disk/by-(uuid|partuuid|label|partlabel)/(.+)")
# Of one disk, whatever bus it was on.
_BY_NUMBER = re.compile(r"/dev/(?:sd[a-z]|vd[a-z]|xvd[a-z]|hd[a-z]|nvme\d+n\d+p|mmcblk\d+p)(\d+)")
_OCTAL = re.compile(r"\\([0-7]{3})")
_NO_FILES = frozenset({"swap", "proc", "sysfs", "tmpfs", "devpts", "devtmpfs", "none", "bind"})


@dataclass(frozen=True, slots=True)
class Line:
    """`subvolume` is an option of btrfs, or empty."""

    device: str
    point: str
    subvolume: str

    def find(self, partitions: Sequence[DiskPartition]) -> DiskPartition | None:
        """The one partition that it means."""
        word, _, value = self.device.partition("=")
        if link := _BY_LINK.fullmatch(self.device):
            word, value = link[1], link[2]
        elif number := _BY_NUMBER.fullmatch(self.device):
            word, value = "number", number[1]
        wanted = value.lower()
        found = [part for part in partitions if wanted and _names(part).get(word.upper()) == wanted]
        return found[0] if len(found) == 1 else None


def _names(part: DiskPartition) -> dict[str, str]:
    return {
        "UUID": part.uuid.lower(),
        "PARTUUID": part.guid,
        "LABEL": part.label.lower(),
        "PARTLABEL": part.name.lower(),
        "NUMBER": str(part.number),
    }


def parse_fstab(text: str) -> list[Line]:
    """Parents first, without the root, networks, the kernel's own and what is not mounted."""
    return sorted(_lines(text), key=lambda line: line.point)


def _lines(text: str) -> Iterator[Line]:
    for raw in text.splitlines():
        words = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), word) for word in raw.split()]
        if len(words) < 3 or words[0].startswith("#"):
            continue
        device, point, kind = words[:3]
        options = words[3].split(",") if len(words) > 3 else []
        local = "=" in device or device.startswith("/dev/")
        if not local or kind in _NO_FILES or "noauto" in options or not point.strip("/"):
            continue
        subvolume = [option for option in options if option.startswith(("subvol=", "subvolid="))]
        yield Line(device.replace('"', ""), point, subvolume[0] if subvolume else "")
