# SPDX-License-Identifier: GPL-2.0-or-later
"""A running machine: copied by rsync into a mirror of its own, which is then read like a directory.

The mirror stays, so the next capture moves only what has changed since, and one that was
interrupted goes on.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.index import Entry, shown
from swarmstrap.mountinfo import contains
from swarmstrap_server.images.source import CaptureFailed, Found
from swarmstrap_server.images.sources import rsync
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.remote import Access, Location, Remote
from swarmstrap_server.images.sources.snapshots import READY, Snapshots
from swarmstrap_server.images.sources.survey import Survey, parse_survey, survey_script
from swarmstrap_server.images.sources.views import Live, Part, choose_views
from swarmstrap_server.images.strip import RULES, Rule
from swarmstrap_server.run import conversation

# What a rule would remove from the image anyway, and is large or changes all the time. The file of
# last logins is as long as the largest user id is high, and rsync reads holes too.
_NOT_COPIED: Mapping[str, tuple[bytes, ...]] = {
    "temporary": (b"/tmp/*", b"/var/tmp/*", b"/run/*"),
    "rotated-logs": (b"/var/log/journal/*",),
    "logs": (b"/var/log/lastlog",),
    "package-caches": (b"/var/cache/apt/archives/*.deb",),
}
_SURVEY_SECONDS = 60
_SNAPSHOT_SECONDS = 120
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Copied:
    """So far of one filesystem; `place` is where it is mounted in the tree."""

    place: str
    read: int
    percent: int


Progress = Callable[[Copied], None]


class Mirror(Directory):
    """The tree of another machine, whose root is `/` in `left_out`: what was mounted where, and
    was not copied. `notes` say how each filesystem was read.
    """

    def __init__(self, name: str, tree: Path, left_out: Mapping[bytes, str]) -> None:
        super().__init__(tree)
        self.name = name
        self.notes: list[str] = []
        self._left_out = left_out

    def look(self, path: bytes) -> Found | None:
        found = super().look(path)
        reason = self._left_out.get(b"/" + path)
        if reason is None or found is None or found.entry is None:
            return found
        entry = found.entry
        if entry.kind != "d":
            return Found(None, left_out=reason)
        # The time of what was mounted there changes by itself.
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
    progress: Progress = lambda _: None,
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
        mirror = _Copy(remote, survey, folder, live, rules, progress).make()
        yield mirror
        if not keep:
            shutil.rmtree(folder)


@dataclass
class _Copy:
    """One run from a machine into its folder, and what there is to say about it."""

    remote: Remote
    survey: Survey
    folder: Path
    live: bool
    rules: tuple[Rule, ...]
    progress: Progress
    warnings: list[str] = field(default_factory=list)

    def make(self) -> Mirror:
        views = choose_views(self.survey, live=self.live)
        snapshots = Snapshots(views, secrets.token_hex(4))
        left_out = dict(views.left_out)
        for folder in (self.tree, self.partial):
            folder.mkdir(exist_ok=True)
        with self._held(snapshots) as nested:
            left_out |= dict.fromkeys(nested, "a subvolume of its own, mounted nowhere")
            hidden = [*_not_copied(self.rules), *(rsync.escaped(path) + b"/*" for path in left_out)]
            for part in views.parts:
                others = [other.inside for other in views.parts if other is not part]
                self._copy(part, snapshots.place(part), _filters(part.inside, others, hidden))
        shutil.rmtree(self.partial)
        location = self.remote.location
        mirror = Mirror(f"{location.host}:{os.fsdecode(location.path)}", self.tree, left_out)
        mirror.warnings += self.warnings
        mirror.notes += [f"{os.fsdecode(part.inside)}: {part.view}" for part in views.parts]
        return mirror

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def partial(self) -> Path:
        return self.folder / "partial"

    @contextmanager
    def _held(self, snapshots: Snapshots) -> Iterator[list[bytes]]:
        """The snapshots are there, and gone at the end; gives the subvolumes that are in none."""
        if not snapshots.needed:
            yield []
            return
        host = self.remote.location.host
        shell = f"{self.survey.elevate} sh".strip()
        with self.remote.hold(shell, snapshots.script()) as talk:
            said = b""
            while READY not in said:
                heard = talk.hear(_SNAPSHOT_SECONDS)
                if not heard:
                    why = talk.end(_SNAPSHOT_SECONDS).stderr.strip().replace("\n", "; ")
                    raise CaptureFailed(
                        f"cannot take a snapshot on {host}: {why}",
                        hint="--live reads the filesystems as they are",
                    )
                said += heard
            try:
                yield list(snapshots.nested(said))
            finally:
                done = talk.end(_SNAPSHOT_SECONDS)
                if done.returncode:
                    why = done.stderr.strip().replace("\n", "; ")
                    self.warnings.append(f"a snapshot is still on {host}: {why}")

    def _copy(self, part: Part, place: bytes, filters: list[bytes]) -> None:
        """A filesystem that is in use is read twice: the second time is short, and tells what
        changed meanwhile.
        """
        command = rsync.command(
            ssh=self.remote.ssh,
            elevate=self.survey.elevate,
            host=self.remote.location.host,
            place=place,
            target=self.tree / os.fsdecode(part.inside[1:]),
            partial=self.partial,
            filters=filters,
        )
        self._transfer(command, part, self.progress)
        if isinstance(part.view, Live):
            changed = self._transfer(command, part, lambda _: None)
            if changed:
                names = ", ".join(shown(path) for path in changed[:_NAMED])
                more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
                where = os.fsdecode(part.inside)
                self.warnings.append(f"changed while {where} was read: {names}{more}")

    def _transfer(self, command: list[str | bytes], part: Part, progress: Progress) -> list[bytes]:
        """Run rsync to its end; gives the files that were not the same."""
        changed = []
        with conversation(command, env=self.remote.environment) as talk:
            rest = b""
            while heard := talk.hear(2 * rsync.SILENCE_SECONDS):
                *lines, rest = re.split(rb"[\r\n]", rest + heard)
                for line in lines:
                    if (path := rsync.change(line)) is not None:
                        changed.append(path)
                    elif (so_far := rsync.progress(line)) is not None:
                        progress(Copied(os.fsdecode(part.inside), *so_far))
            done = talk.end(_SURVEY_SECONDS)
        vanished = done.returncode == rsync.VANISHED and isinstance(part.view, Live)
        if done.returncode and not vanished:
            raise rsync.failure(done.returncode, done.stderr, self.remote.location.host)
        return changed


def _filters(inside: bytes, others: list[bytes], hidden: list[bytes]) -> list[bytes]:
    """Of the part that is at `inside`: other parts are left alone here and there, and what is
    hidden there is removed here.
    """
    protected = [
        b"- /" + rsync.escaped(os.path.relpath(other, inside)) + b"/*"
        for other in others
        if contains(inside, other)
    ]
    return protected + [
        b"H /" + os.path.relpath(pattern, inside) for pattern in hidden if contains(inside, pattern)
    ]


def _not_copied(rules: tuple[Rule, ...]) -> Iterator[bytes]:
    for rule in rules:
        yield from _NOT_COPIED.get(rule.name, ())


@contextmanager
def _locked(folder: Path, host: str) -> Iterator[None]:
    """A mirror has all secrets of a machine, and one writer."""
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
