# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the disk gives back what was written to it. Blocking."""

from collections.abc import Callable
from pathlib import Path

from swarmstrap.difference import Difference
from swarmstrap.effects.disks.mounts import sync
from swarmstrap.effects.images.updating import Terms, look
from swarmstrap.errors import StepFailed
from swarmstrap.index import Index, shown

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def verify_tree(root: Path, index: Index, terms: Terms, progress: Callable[[int], None]) -> None:
    """Reads everything from the disk; raises StepFailed with the first path that differs from the
    image. `progress` gets bytes of data that were read.
    """
    sync(root)
    _DROP_CACHES.write_text("3\n")  # pages, and what is kept of directories and inodes
    difference = look(root, index, terms, progress).difference
    found = _first(difference)
    if found is not None:
        number, what = found
        raise StepFailed(
            f"{shown(index.entries[number].path)} is not on the disk as it was written: {what}",
            hint="the disk or the memory may be failing: see the kernel log, and test both",
        )


def _first(difference: Difference) -> tuple[int, str] | None:
    wrong = [(number, "its data differ") for number in difference.written]
    wrong += [(number, "it differs") for number in difference.made]
    wrong += [(number, "it is another file") for number in difference.linked]
    wrong += [(number, "its metadata differ") for number in difference.described]
    return min(wrong, default=None)
