# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user named, as the source that it is: told by its address and its content."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.manifest import ImageKind
from swarmstrap_server.images.facts import About
from swarmstrap_server.images.remote.copying import Progress
from swarmstrap_server.images.remote.host import SCHEME, Access, parse_location
from swarmstrap_server.images.source import Report, Source
from swarmstrap_server.images.sources import tar
from swarmstrap_server.images.sources.container import is_container
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.disk import disk_image
from swarmstrap_server.images.sources.disk_tree import disk_tree
from swarmstrap_server.images.sources.layers import container_source
from swarmstrap_server.images.sources.rawdisk import looks_like_disk
from swarmstrap_server.images.sources.ssh import mirrored
from swarmstrap_server.images.strip import RULES, Rule

_SOURCES = f"name a directory, a tar, a container image, a disk image, or {SCHEME}HOST/PATH"
_OPTIONS = {"kind": "--as"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to read a source, as the options of a capture say it; each is for some sources only."""

    cross: tuple[Path, ...] = ()
    platform: str = ""
    tag: str = ""
    identity: Path | None = None
    known_hosts: Path | None = None
    live: bool = False
    forget: bool = False
    kind: ImageKind | None = None
    all_blocks: bool = False
    sector: int | None = None
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Folders of the server: for what has to be unpacked, and for copies of other machines."""

    unpacking: Path
    mirrors: Path


@contextmanager
def chosen(
    named: str, wishes: Wishes, room: Room, report: Report, rules: tuple[Rule, ...] = RULES
) -> Iterator[tuple[Source, About | None]]:
    """The source, and what it says about itself when it is not a tree that can be asked. What
    `rules` will remove from it need not be there.

    Raises BadInput for what is no source, and for a wish that says nothing about it.
    """
    with ExitStack() as stack:
        yield _opened(stack, named, wishes, room, report, rules)


def _opened(
    stack: ExitStack,
    named: str,
    wishes: Wishes,
    room: Room,
    report: Report,
    rules: tuple[Rule, ...],
) -> tuple[Source, About | None]:
    path = Path(named)
    if named.startswith(SCHEME):
        _only(wishes, "another machine", "identity", "known_hosts", "live", "forget")
        return stack.enter_context(_machine(named, wishes, room, report, rules)), None
    if not path.exists():
        raise BadInput(f"there is no {named}", hint=_SOURCES)
    files: Source
    if path.is_dir():
        files, what, understood = Directory(path, wishes.cross), "a directory", ["cross"]
    elif tar.looks_like_tar(path):
        files = stack.enter_context(tar.tar_source(path, room.unpacking, report))
        what, understood = "an archive of files", []
    elif looks_like_disk(path):
        return _disk(stack, path, wishes, room)
    else:
        raise BadInput(f"{named} is nothing that can be captured", hint=_SOURCES)
    if not is_container(files):
        _only(wishes, what, *understood)
        return files, None
    _only(wishes, "a container image", "platform", "tag")
    layers = container_source(
        files, room.unpacking, report, platform=wishes.platform, tag=wishes.tag
    )
    return stack.enter_context(layers), None


def _disk(stack: ExitStack, path: Path, wishes: Wishes, room: Room) -> tuple[Source, About | None]:
    if wishes.kind == "tree":
        _only(wishes, "the files of a disk", "kind", "sector")
        return stack.enter_context(disk_tree(path, room.unpacking, sector=wishes.sector)), None
    _only(wishes, "a disk", "kind", "sector", "all_blocks", "architecture")
    image = disk_image(
        path,
        room.unpacking,
        sector=wishes.sector,
        all_blocks=wishes.all_blocks,
        architecture=wishes.architecture,
    )
    return stack.enter_context(image)


@contextmanager
def _machine(
    url: str, wishes: Wishes, room: Room, report: Report, rules: tuple[Rule, ...]
) -> Iterator[Source]:
    def show(progress: Progress) -> None:
        total = progress.read * 100 // progress.percent if progress.percent else None
        report(f"copying {progress.place}", progress.read, total)

    access = Access(wishes.identity, wishes.known_hosts)
    location = parse_location(url)
    with mirrored(
        location,
        room.mirrors,
        access,
        live=wishes.live,
        keep=not wishes.forget,
        rules=rules,
        progress=show,
    ) as mirror:
        yield mirror


def _only(wishes: Wishes, what: str, *understood: str) -> None:
    for field in fields(wishes):
        if field.name not in understood and getattr(wishes, field.name) != field.default:
            option = _OPTIONS.get(field.name, "--" + field.name.replace("_", "-"))
            raise BadInput(f"{option} says nothing about {what}", hint="leave it out")
