# SPDX-License-Identifier: GPL-2.0-or-later
"""From another machine into a folder of this one: filesystem by filesystem, by rsync."""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from swarmstrap.index import shown
from swarmstrap.mountinfo import contains
from swarmstrap_server.images.remote import rsync
from swarmstrap_server.images.remote.host import Remote
from swarmstrap_server.images.remote.skipping import not_copied
from swarmstrap_server.images.remote.snapshots import READY, Snapshots
from swarmstrap_server.images.remote.survey import Survey
from swarmstrap_server.images.remote.views import Live, Part, View, Views
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.strip import Rule
from swarmstrap_server.run import conversation

log = logging.getLogger(__name__)

_SNAPSHOT_SECONDS = 120
_END_SECONDS = 60
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """So far of one filesystem, which is mounted at `place` in the tree; `read` are bytes."""

    place: str
    view: View
    read: int
    percent: int


@dataclass
class Copy:
    """One run into `tree`. After it `left_out` says of which places in the tree, whose root is `/`,
    only a directory came, and why; `warnings` what did not go as it should.
    """

    remote: Remote
    survey: Survey
    views: Views
    tree: Path
    progress: Callable[[Progress], None]
    left_out: dict[bytes, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def run(self, rules: tuple[Rule, ...]) -> None:
        """What `rules` remove from an image need not come. Whatever fails, what has come stays,
        and the next run goes on from there.
        """
        self.tree.mkdir(exist_ok=True)
        self._partial.mkdir(exist_ok=True)
        snapshots = Snapshots(self.views, secrets.token_hex(4))
        with self._taken(snapshots) as nested:
            self.left_out |= self.views.left_out
            self.left_out |= dict.fromkeys(nested, "a subvolume of its own, mounted nowhere")
            hidden = [rsync.escaped(path) + b"/*" for path in self.left_out]
            hidden += not_copied(rules)
            for part in self.views.parts:
                others = [other.inside for other in self.views.parts if other is not part]
                self._copy(part, snapshots.place(part), _filters(part.inside, others, hidden))
        shutil.rmtree(self._partial)

    @property
    def _partial(self) -> Path:
        return self.tree.with_name("partial")

    @contextmanager
    def _taken(self, snapshots: Snapshots) -> Iterator[list[bytes]]:
        """The snapshots are there, and gone at the end; gives the subvolumes that are in none."""
        if not snapshots.needed:
            yield []
            return
        host = self.remote.location.host
        with self.remote.hold(f"{self.survey.elevate} sh".strip(), snapshots.script()) as talk:
            said = b""
            while READY not in said:
                heard = talk.hear(_SNAPSHOT_SECONDS)
                if not heard:
                    raise CaptureFailed(
                        f"cannot take a snapshot on {host}: "
                        + _one_line(talk.end(_SNAPSHOT_SECONDS).stderr),
                        hint="--live reads the filesystems as they are",
                    )
                said += heard
            try:
                yield list(snapshots.nested(said))
            finally:
                done = talk.end(_SNAPSHOT_SECONDS)
                if done.returncode:
                    why = _one_line(done.stderr)
                    self.warnings.append(f"a snapshot may still be on {host}: {why}")

    def _copy(self, part: Part, place: bytes, filters: list[bytes]) -> None:
        """A filesystem that is in use is read twice: the second time is short, and tells what
        changed meanwhile.
        """
        target = self._target(part)
        command = rsync.command(
            ssh=self.remote.ssh,
            elevate=self.survey.elevate,
            host=self.remote.location.host,
            place=place,
            target=target,
            partial=self._partial,
            filters=filters,
        )
        log.info("%s is read %s", os.fsdecode(part.inside), part.view)
        self._transfer(command, part, self.progress)
        if isinstance(part.view, Live):
            # When nothing has, the copy shows one moment after all.
            changed = self._transfer(command, part, lambda _: None)
            if changed:
                names = ", ".join(shown(path) for path in changed[:_NAMED])
                more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
                where = os.fsdecode(part.inside)
                self.warnings.append(
                    f"{where} was read {part.view}; changed meanwhile: {names}{more}"
                )

    def _target(self, part: Part) -> Path:
        """Raises CaptureFailed when a symlink leads elsewhere, since rsync would follow it."""
        inside = os.fsdecode(part.inside[1:])
        target = self.tree / inside
        if not target.is_dir() or target.resolve() != self.tree.resolve() / inside:
            raise CaptureFailed(
                f"{self.remote.location.host} has a filesystem mounted at /{inside}, "
                "which is no directory of another one",
                hint="mount it at a directory that is not reached by a symlink",
            )
        return target

    def _transfer(
        self, command: list[str | bytes], part: Part, progress: Callable[[Progress], None]
    ) -> list[bytes]:
        """Run rsync to its end; gives the files that were not the same."""
        where = os.fsdecode(part.inside)
        changed = []
        with conversation(command, env=self.remote.environment) as talk:
            rest = b""
            while heard := talk.hear(2 * rsync.SILENCE_SECONDS):
                *lines, rest = re.split(rb"[\r\n]", rest + heard)
                for line in lines:
                    if (path := rsync.change(line)) is not None:
                        changed.append(path)
                    elif (so_far := rsync.progress(line)) is not None:
                        progress(Progress(where, part.view, *so_far))
            done = talk.end(_END_SECONDS)
        vanished = done.returncode == rsync.VANISHED and isinstance(part.view, Live)
        if done.returncode and not vanished:
            raise rsync.failure(done.returncode, done.stderr, self.remote.location.host)
        return changed


def _filters(inside: bytes, others: list[bytes], hidden: list[bytes]) -> list[bytes]:
    """For the part at `inside`: what is of other parts is left alone on both sides, and what is
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


def _one_line(stderr: str) -> str:
    return stderr.strip().replace("\n", "; ") or "nothing was said"
