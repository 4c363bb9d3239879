# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at an image's files as the image would see them: every link ends inside it."""

import os

from swarmstrap.index import ROOT, Entry
from swarmstrap_server.images.source import Source, joined

_MAX_LINKS = 40


def inside(source: Source, path: str) -> Entry | None:
    """What is at `path` with links followed as if the source were `/`; None when nothing is."""
    pending = os.fsencode(path).split(b"/")[::-1]
    done = [ROOT]
    links = 0
    while pending:
        name = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            done = done[:-1] or done
            continue
        place = joined(done[-1], name)
        entry = look(source, place)
        if entry is None:
            return None
        if entry.kind != "l":
            done.append(place)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if entry.target.startswith(b"/"):
            done = [ROOT]
        pending.extend(entry.target.split(b"/")[::-1])
    return look(source, done[-1])


def look(source: Source, path: bytes) -> Entry | None:
    found = source.look(path)
    return None if found is None else found.entry


def first_bytes(source: Source, path: str, size: int) -> bytes | None:
    """Of the file at `path`, links followed; None when there is no such file."""
    entry = inside(source, path)
    if entry is None or entry.kind != "f":
        return None
    with source.open(entry) as data:
        return data.pread(size, 0)


def names(source: Source, directory: str) -> list[str]:
    """Of what is in a directory, links followed; none when there is no such directory."""
    entry = inside(source, directory)
    if entry is None or entry.kind != "d":
        return []
    return [os.fsdecode(name) for name in source.names(entry.path)]


def there(source: Source, path: str) -> bool:
    return inside(source, path) is not None
