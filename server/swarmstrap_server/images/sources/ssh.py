# SPDX-License-Identifier: GPL-2.0-or-later
"""A running machine: copied into a mirror of its own, which is then read like a directory.

The mirror stays, so the next capture moves only what has changed since, and one that was
interrupted goes on.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.index import Entry
from swarmstrap_server.images.remote.copying import Copy, Progress
from swarmstrap_server.images.remote.host import Access, Location, Remote
from swarmstrap_server.images.remote.survey import parse_survey, survey_script
from swarmstrap_server.images.remote.views import choose_views
from swarmstrap_server.images.source import Found
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.strip import RULES, Rule

_SURVEY_SECONDS = 60


class Mirror(Directory):
    """The tree of another machine, as it was copied."""

    def __init__(self, copy: Copy) -> None:
        super().__init__(copy.tree)
        self.name = str(copy.remote.location)
        self.warnings += copy.warnings
        self._left_out = copy.left_out

    def look(self, path: bytes) -> Found | None:
        found = super().look(path)
        reason = self._left_out.get(b"/" + path)
        if reason is None or found is None or found.entry is None:
            return found
        entry = found.entry
        if entry.kind != "d":
            return Found(None, left_out=reason)
        # The time of what is mounted there changes by itself.
        return Found(Entry(path, "d", entry.mode, entry.uid, entry.gid, 0), left_out=reason)


@contextmanager
def mirrored(
    location: Location,
    mirrors: Path,
    access: Access,
    *,
    live: bool = False,
    keep: bool = True,
    rules: tuple[Rule, ...] = RULES,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[Mirror]:
    """Bring the mirror of `location`, a folder of `mirrors`, up to date, and hold on to it.

    Unless it is to `keep`, it is removed when all went well. What `rules` remove need not be
    copied. Raises BadInput, Untrusted, Unreachable and CaptureFailed; what has come is then kept.
    """
    if os.geteuid() != 0:
        raise BadInput(
            "only root can keep the owners and devices of another machine", hint="run it as root"
        )
    remote = Remote(location, access)
    answer = remote.ask(survey_script(location.path), _SURVEY_SECONDS)
    survey = parse_survey(answer.stdout, location.host, location.path)
    folder = mirrors / location.key
    with _locked(folder, location.host):
        views = choose_views(survey, rules, live=live)
        copy = Copy(remote, survey, views, folder / "tree", progress)
        copy.run(rules)
        yield Mirror(copy)
        if not keep:
            shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, host: str) -> Iterator[None]:
    """A mirror holds all secrets of a machine, and has one writer."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"{host} is being captured already", hint="wait for its end") from error
        yield
    finally:
        os.close(descriptor)
