# SPDX-License-Identifier: GPL-2.0-or-later
"""Single words of a layout: labels, names, places, options and sizes.

They end in partition tables, in fstab, on command lines and in a boot loader's script: validated
here, and only then pasted.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NoReturn

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.layout import LogicalVolume, Sized, ThinPool
from swarmstrap.units import TiB, is_share, parse_share

# A GPT has 36 UTF-16 units for a name (UEFI 2.10, 5.3.3).
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
_MOUNT = re.compile(r"/(?:[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*)?")
# The kernel's; what is made at every start, but not what is mounted below; and where fstab lies.
_NO_MOUNT = re.compile(r"/(?:dev|proc|sys)(?:/.*)?|/run|/etc")
_OPTIONS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=:/%+-]*")
_SUBVOLUME = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@._-]{0,63}")
# The superblock of md has 32 bytes for a name; one of digits alone would be a number of /dev/md.
_ARRAY = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")
_MAPPED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# lvm(8), "VALID NAMES".
_LVM = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,62}")
_LVM_OWN = re.compile(
    r"\.\.?|snapshot.*|pvmove.*|.*_(cdata|cmeta|corig|cpool|cvol|imeta|iorig|mimage|mlog|pmspare"
    r"|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig)\d*"
)
# A group is a folder below /dev, where these are already.
_DEV = frozenset(
    "block bsg bus char cpu disk dri fd input mapper md mqueue net pts shm snd vfio".split()
)


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Whatever is raised within says that it was found at `place`."""
    try:
        yield
    except SwarmstrapError as error:
        raise BadInput(f"{place}: {error.message}", hint=error.hint) from error


def contradiction(what: str, needed: str) -> NoReturn:
    raise BadInput(what, hint=f"such a one needs {needed}")


def once(what: str, values: Iterable[str]) -> None:
    """Raises BadInput for the first of `values` that is there again."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise BadInput(f"{what} {value} is there twice", hint="give each its own")
        seen.add(value)


def check_label(label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise BadInput("not a label", hint="use 1 to 36 letters, digits and . _ -")


def check_mount(mount: str, options: str) -> None:
    """`mount` may be empty, for what is not mounted."""
    if mount and not _MOUNT.fullmatch(mount):
        raise BadInput(f"mount: {mount!r} cannot be used", hint="write it like /var or /boot/efi")
    if _NO_MOUNT.fullmatch(mount):
        raise BadInput(f"mount: no system starts with a disk at {mount}", hint="mount it elsewhere")
    if not _OPTIONS.fullmatch(options):
        raise BadInput(
            f"mount_options: {options!r} cannot be used",
            hint="separate options by commas, without blanks",
        )


def check_array_name(name: str) -> None:
    if not _ARRAY.fullmatch(name):
        raise BadInput("not the name of an array", hint="use a letter, then up to 31 of a-z 0-9 -")


def check_mapped_name(name: str) -> None:
    if not _MAPPED.fullmatch(name) or name == "control":
        raise BadInput("not a name below /dev/mapper", hint="use up to 64 letters, digits, . _ -")


def check_subvolume_name(name: str) -> None:
    if not _SUBVOLUME.fullmatch(name):
        raise BadInput("not the name of a subvolume", hint="write it like @home, without a slash")


def check_group_name(name: str) -> None:
    if not _LVM.fullmatch(name) or name in _DEV or _LVM_OWN.fullmatch(name):
        raise BadInput(
            "not a name that LVM gives a group", hint="use up to 63 letters, digits and . _ + -"
        )


def check_lvm_name(name: str) -> None:
    if not _LVM.fullmatch(name) or _LVM_OWN.fullmatch(name):
        raise BadInput(
            "not a name that LVM gives a volume", hint="use up to 63 letters, digits and . _ + -"
        )


def check_sizes(sized: Sized | ThinPool) -> None:
    """Raises BadInput for sizes that no room could satisfy."""
    if sized.size and (sized.size_min or sized.size_max or sized.weight):
        raise BadInput(
            "size fixes what size_min, size_max and weight would leave open",
            hint="remove size, or the others",
        )
    if sized.weight < 0:
        raise BadInput("weight and priority count from 0", hint="write a whole number")
    given = [text for text in (sized.size, sized.size_min, sized.size_max) if text]
    sizes = [parse_share(text, TiB) for text in given]
    for text in given:
        if not (is_share(text) or text.strip()[-1:].isalpha()):
            raise BadInput(f"no unit in {text!r}", hint="write it as in 512MiB, or as a share: 25%")
    if 0 in sizes:
        raise BadInput("a size is 0", hint="leave it out, or give it room")
    # A share and a size are compared when there is a room.
    if len({is_share(text) for text in given}) == 1 and any(a > b for a, b in pairwise(sizes)):
        raise BadInput("size_min is above size_max", hint="swap them")


def check_shares(sized: Iterable[Sized | ThinPool]) -> None:
    """Raises BadInput for `sized` that can never have the shares of one room that they need."""
    needed = [wish.size or wish.size_min for wish in sized]
    shares = [text for text in needed if is_share(text)]
    if sum(parse_share(text, TiB) for text in shares) > TiB:
        raise BadInput(
            f"shares of {', '.join(shares)} are more than there is", hint="write 100% at most"
        )


def check_thin_size(volume: LogicalVolume) -> None:
    if not volume.size or is_share(volume.size):
        contradiction(f"is taken from pool {volume.pool}", "a size with a unit, as in 20GiB")
