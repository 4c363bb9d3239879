# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree in memory, made entry by entry: what an archive would be if it were extracted.

Nothing is extracted, so nothing can escape; what would not fit into a tree is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from swarmstrap.extents import total
from swarmstrap.index import LINKABLE, ROOT, Entry, Kind, shown
from swarmstrap_server.images.source import CaptureFailed, Found, joined
from swarmstrap_server.images.sources.kept import Kept, KeptData

_KINDS: dict[Kind, str] = {
    "f": "a file",
    "d": "a directory",
    "l": "a symbolic link",
    "c": "a device",
    "b": "a device",
    "p": "a FIFO",
}


@dataclass(eq=False, slots=True)
class _Node:
    """A file of any kind; `entry` has the path of one of its `names`."""

    entry: Entry
    kept: Kept | None = None
    names: int = 1


class Tree:
    """A source. Entries are put into layers: a lower one is hidden or replaced by the next."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        root = _implied(ROOT)
        self._nodes = {ROOT: root}
        self._names: dict[bytes, set[bytes]] = {ROOT: set()}
        self._implied: set[bytes] = {ROOT}
        self._layer: set[bytes] = set()

    def new_layer(self) -> None:
        self._layer = set()

    def put(self, entry: Entry, kept: Kept | None = None) -> None:
        """`entry` as the last word about its path; a hard link's target must be there already."""
        node = self._linked(entry) if entry.kind == "h" else _Node(entry, kept)
        self._make_room(entry.path, node.entry.kind)
        old = self._nodes.get(entry.path)
        self._nodes[entry.path] = node
        if entry.kind == "d":
            self._names.setdefault(entry.path, set())
        elif entry.kind == "h":
            node.names += 1
        if old is not None:
            old.names -= 1
        self._layer.add(entry.path)
        self._implied.discard(entry.path)

    def hide(self, path: bytes) -> None:
        """`path` and all below it are gone; nothing happens when there is nothing."""
        if path != ROOT and path in self._nodes:
            self.hide_below(path)
            self._names.pop(path, None)
            self._drop(path)
            directory, name = _split(path)
            self._names[directory].discard(name)

    def hide_below(self, path: bytes) -> None:
        if path not in self._names:
            return
        pending = [path]
        while pending:
            directory = pending.pop()
            for name in self._names.pop(directory, ()):
                below = joined(directory, name)
                self._drop(below)
                pending.append(below)
        self._names[path] = set()

    def add_attribute(self, path: bytes, name: bytes, value: bytes) -> None:
        """To the file of any kind at `path`; nothing happens when there is none."""
        node = self._nodes.get(path)
        if node is not None:
            xattrs = dict(node.entry.xattrs) | {name: value}
            node.entry = replace(node.entry, xattrs=tuple(sorted(xattrs.items())))

    @property
    def warnings(self) -> list[str]:
        missing = sorted(self._implied - {ROOT})
        if not missing:
            return self.notes
        some = ", ".join(shown(path) for path in missing[:3]) + (", ..." if missing[3:] else "")
        made = (
            f"no entry describes {len(missing)} directories, made with mode 0755 for root: {some}"
        )
        return [*self.notes, made]

    def look(self, path: bytes) -> Found | None:
        node = self._nodes.get(path)
        if node is None:
            return None
        entry = replace(node.entry, path=path) if node.entry.path != path else node.entry
        stored = total(node.kept.parts) if node.kept else 0
        return Found(entry, id(node) if node.names > 1 else None, stored)

    def names(self, path: bytes) -> list[bytes]:
        return list(self._names.get(path, ()))

    @contextmanager
    def open(self, entry: Entry) -> Iterator[KeptData]:
        kept = self._nodes[entry.path].kept
        if kept is None:
            raise FileNotFoundError(entry.path)
        yield KeptData(kept)

    def reaches(self, place: Path) -> bool:
        return False

    def _linked(self, entry: Entry) -> _Node:
        node = self._nodes.get(entry.target)
        if node is None or node.entry.kind not in LINKABLE or entry.target == entry.path:
            raise CaptureFailed(
                f"{self.name}: {shown(entry.path)} is a hard link to {shown(entry.target)}, "
                "which is nothing before it that can be linked to",
                hint="make the archive again",
            )
        return node

    def _make_room(self, path: bytes, kind: Kind) -> None:
        """Parents of `path`, and at `path` nothing that an entry of this kind cannot replace."""
        if path != ROOT:
            self._make_parents(path)
        old = self._nodes.get(path)
        if old is None or old.entry.kind == kind:
            return
        if path == ROOT or path in self._layer:
            raise CaptureFailed(
                f"{self.name}: {shown(path)} is {_KINDS[old.entry.kind]} first, "
                f"and {_KINDS[kind]} then",
                hint="make the archive again",
            )
        self.hide(path)
        self._make_parents(path)

    def _make_parents(self, path: bytes) -> None:
        wanted = path
        while path != ROOT:
            directory, name = _split(path)
            parent = self._nodes.get(directory)
            if parent is None:
                self._nodes[directory] = _implied(directory)
                self._names[directory] = set()
                self._implied.add(directory)
                self._layer.add(directory)
            elif parent.entry.kind != "d":
                raise CaptureFailed(
                    f"{self.name}: {shown(wanted)} is below {shown(directory)}, "
                    f"which is {_KINDS[parent.entry.kind]}",
                    hint="an archive of a system has every path in a directory of its own",
                )
            self._names[directory].add(name)
            if parent is not None:
                return
            path = directory

    def _drop(self, path: bytes) -> None:
        self._nodes.pop(path).names -= 1
        self._implied.discard(path)


def _implied(path: bytes) -> _Node:
    return _Node(Entry(path, "d", 0o755, 0, 0, 0))


def _split(path: bytes) -> tuple[bytes, bytes]:
    directory, _, name = path.rpartition(b"/")
    return directory or ROOT, name
