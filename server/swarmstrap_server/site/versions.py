# SPDX-License-Identifier: GPL-2.0-or-later
"""The site folder as it was: a revision of its git repository, or a copy of the folder."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.errors import BadInput
from swarmstrap_server.run import run
from swarmstrap_server.site.reading import Site, read_site

_SECONDS = 60.0


def read_version(root: Path, wanted: str) -> Site:
    """`wanted` is a folder or a revision of the repository that has `root` in it.

    Raises BadInput when it is neither, or has a mistake in it.
    """
    if Path(wanted).is_dir():
        return read_site(Path(wanted))
    with _revision(root, wanted) as folder:
        try:
            return read_site(folder)
        except BadInput as error:
            raise BadInput(f"{wanted}: {error.message}", hint=error.hint) from error


@contextlib.contextmanager
def _revision(root: Path, revision: str) -> Iterator[Path]:
    named = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    try:
        commit = run(["git", "-C", root, *named], timeout=_SECONDS).stdout.strip()
    except CommandFailed as error:
        raise BadInput(
            f"{revision!r} is neither a folder nor a revision of {root}",
            hint="name a folder, or keep the site folder in git",
        ) from error
    with tempfile.TemporaryDirectory(prefix="swarmstrap-") as room:
        packed, folder = Path(room, "site.tar"), Path(room, "site")
        # Below the top of a repository `.` is the folder alone.
        pack = ("archive", "--format=tar", f"--output={packed}", commit, ".")
        run(["git", "-C", root, *pack], timeout=_SECONDS)
        folder.mkdir()
        run(["tar", "-xf", packed, "-C", folder, "--no-same-owner"], timeout=_SECONDS)
        yield folder
