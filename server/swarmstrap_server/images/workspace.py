# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of the image store that are being made or removed: hidden, and locked meanwhile.

The kernel lets go of a lock when its process ends, however it ends. So a hidden folder that
nobody has locked belongs to nobody, and is swept away.
"""

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server.files import locked, sync

# As mkdtemp and `discard` call them below.
_OURS = re.compile(r"\..+\.([a-z0-9_]{8}|removed)")


@contextmanager
def workspace(place: Path) -> Iterator[Path]:
    """A hidden folder beside `place`, which is ROOT/NAME/VERSION; it is gone at the end unless it
    was moved there.
    """
    root = place.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)
    with ExitStack() as stack:
        # Nobody else looks for abandoned folders until this one is locked.
        with locked(root):
            place.parent.mkdir(exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
            stack.enter_context(locked(work))
        work.chmod(0o755)
        try:
            yield work
        finally:
            _remove(root, work)


def discard(place: Path) -> None:
    """ROOT/NAME/VERSION is gone for readers at once, then from the disk."""
    root = place.parent.parent
    sweep(root)
    with locked(place):
        doomed = place.rename(place.with_name(f".{place.name}.removed"))
        _remove(root, doomed)


def sweep(root: Path) -> None:
    """Remove what publishers and removers left that were killed."""
    with ExitStack() as stack:
        abandoned = []
        with locked(root):
            for folder in root.glob("[!.]*/.*/"):
                if is_ours(folder):
                    with suppress(BlockingIOError):
                        stack.enter_context(locked(folder, wait=False))
                        abandoned.append(folder)
        for folder in abandoned:
            _remove(root, folder)


def _remove(root: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with locked(root), suppress(OSError):  # there are other versions
        folder.parent.rmdir()


def install(work: Path, place: Path) -> None:
    """`work`, which is complete, becomes `place` at once and for good.

    Raises BadInput when somebody else was faster.
    """
    for path in (*work.iterdir(), work):
        sync(path)
    try:
        work.rename(place)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise taken(place) from error
        raise
    sync(place.parent)


def taken(place: Path) -> BadInput:
    return BadInput(
        f"image {place.parent.name}:{place.name} exists already",
        hint="published images do not change: choose another version, or remove this one",
    )


def is_ours(folder: Path) -> bool:
    """Whether it is called as a folder that is being made or removed."""
    return _OURS.fullmatch(folder.name) is not None


def is_locked(folder: Path) -> bool:
    """Whether a process that lives works in it."""
    try:
        with locked(folder, wait=False):
            return False
    except BlockingIOError:
        return True
