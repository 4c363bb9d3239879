# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user named, as the source that it is: told by its address and its content."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server.images.facts import About
from swarmstrap_server.images.remote.copying import Progress
from swarmstrap_server.images.remote.host import SCHEME, Access, parse_location
from swarmstrap_server.images.source import Report, Source
from swarmstrap_server.images.sources import tar
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.ssh import mirrored


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to read a source, as the options of a capture say it; each is for some sources only."""

    cross: tuple[Path, ...] = ()
    identity: Path | None = None
    known_hosts: Path | None = None
    live: bool = False
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """Folders of the server: for what has to be unpacked, and for copies of other machines."""

    unpacking: Path
    mirrors: Path


@contextmanager
def chosen(
    named: str, wishes: Wishes, room: Room, report: Report
) -> Iterator[tuple[Source, About | None]]:
    """The source, and what it says about itself when it is not a tree that can be asked.

    Raises BadInput for what is no source, and for a wish that says nothing about it.
    """
    path = Path(named)
    if named.startswith(SCHEME):
        _only(wishes, "another machine", "identity", "known_hosts", "live", "forget")
        with _machine(named, wishes, room, report) as mirror:
            yield mirror, None
    elif path.is_dir():
        _only(wishes, "a directory", "cross")
        yield Directory(path, wishes.cross), None
    elif tar.looks_like_tar(path):
        _only(wishes, "an archive")
        with tar.tar_source(path, room.unpacking, report) as tree:
            yield tree, None
    else:
        raise BadInput(
            f"{named} is nothing that can be captured",
            hint=f"name a directory, a tar, or {SCHEME}HOST/PATH",
        )


@contextmanager
def _machine(url: str, wishes: Wishes, room: Room, report: Report) -> Iterator[Source]:
    def show(progress: Progress) -> None:
        total = progress.read * 100 // progress.percent if progress.percent else None
        report(f"copying {progress.place}", progress.read, total)

    access = Access(wishes.identity, wishes.known_hosts)
    location = parse_location(url)
    with mirrored(
        location, room.mirrors, access, live=wishes.live, keep=not wishes.forget, progress=show
    ) as mirror:
        yield mirror


def _only(wishes: Wishes, what: str, *understood: str) -> None:
    for field in fields(wishes):
        if field.name not in understood and getattr(wishes, field.name) != field.default:
            option = "--" + field.name.replace("_", "-")
            raise BadInput(f"{option} says nothing about {what}", hint="leave it out")
