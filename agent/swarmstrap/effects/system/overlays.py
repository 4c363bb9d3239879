# SPDX-License-Identifier: GPL-2.0-or-later
"""Lays the files of an overlay over the installed system, whatever its symlinks say. Blocking."""

import contextlib
import errno
import os
from pathlib import Path

from swarmstrap.effects.system.chroot import inside
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import LayOverlay
from swarmstrap.wire import OverlayFile

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HINTS = {
    errno.EISDIR: "the image has a directory there: take another path",
    errno.ENOTDIR: "the image has a file where a directory must be: take another path",
    errno.EEXIST: "the image has a file where a directory must be: take another path",
    errno.ENOSPC: "give the partition that holds this path more room in the layout",
    errno.EPERM: "the filesystem there cannot hold such a file: take another path",
}


def lay(step: LayOverlay, root: Path) -> None:
    """Each file is replaced as a whole, a symlink at its place too; raises StepFailed."""
    for file in step.files:
        try:
            _lay(file, root)
        except OSError as error:
            code = error.errno or 0
            raise StepFailed(
                f"overlay {step.name}: cannot lay {file.path}: {os.strerror(code)}",
                hint=_HINTS.get(code, "see the kernel log for the disk's errors"),
            ) from error


def _lay(file: OverlayFile, root: Path) -> None:
    directory, name = os.path.split(file.path)
    folder = inside(root, directory)
    _make_folder(folder)
    # No longer than a name may be, whatever the file's.
    temporary = folder / ".swarmstrap-overlay"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    if file.kind == "link":
        os.symlink(file.content, os.fsencode(temporary))
        os.lchown(temporary, file.owner, file.group)
    else:
        with open(os.open(temporary, _NEW_FILE, 0o600), "wb") as new:
            new.write(file.content)
            # The mode after the owner: chown takes the set-user-ID bit away.
            os.fchown(new.fileno(), file.owner, file.group)
            os.fchmod(new.fileno(), file.mode)
    try:
        temporary.replace(folder / name)
    except OSError:
        temporary.unlink()
        raise


def _make_folder(folder: Path) -> None:
    """Those that are missing are root's, and for all to read, whatever the umask."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir()
    folder.chmod(0o755)
