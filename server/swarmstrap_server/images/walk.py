# SPDX-License-Identifier: GPL-2.0-or-later
"""The one order of an image's entries, and what becomes of each on the way in."""

from collections.abc import Hashable, Iterator

from msgspec.structs import replace

from swarmstrap.index import ROOT, Entry, problem, shown
from swarmstrap_server.images.source import CaptureFailed, Found, Source, joined
from swarmstrap_server.images.strip import RULES, Rule, Strip


class Walk:
    """Iterate once: parents first, names in byte order, the root `.` before all.

    Hard links are kept within the tree: the first path that is captured is the file.
    `left_out` and `strip` are complete after the iteration.
    """

    def __init__(self, source: Source, rules: tuple[Rule, ...] = RULES) -> None:
        self.source = source
        self.rules = rules
        self.strip = Strip(rules)
        self.left_out: list[str] = []
        self._first: dict[Hashable, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        for found in self.found():
            if found.entry is not None:
                yield found.entry

    def weigh(self) -> int:
        """About the bytes of data that an iteration will find."""
        return sum(found.stored for found in self.found())

    def found(self) -> Iterator[Found]:
        pending = [ROOT]
        while pending:
            path = pending.pop()
            found = self._take(path)
            if found is None:
                continue
            yield found
            if found.entry is not None and found.entry.kind == "d":
                names = sorted(self.source.names(path), reverse=True)
                pending.extend(joined(path, name) for name in names)

    def again(self, entry: Entry) -> Entry | None:
        """A file that changed, as it is now; None when it has gone, or is no file any more."""
        self._first = {key: path for key, path in self._first.items() if path != entry.path}
        found = self.source.look(entry.path)
        if found is None or found.entry is None or found.entry.kind != "f":
            return None
        if found.identity is not None:
            self._first.setdefault(found.identity, entry.path)
        return found.entry

    def _take(self, path: bytes) -> Found | None:
        found = self.source.look(path)
        if found is None:
            return None  # gone since its directory was read
        entry = found.entry
        action = self.strip.action(path, "s" if entry is None else entry.kind)
        if action == "remove":
            return None
        if found.left_out:
            self.left_out.append(f"{shown(path)}: {found.left_out}")
        if entry is None:
            return None
        reason = problem(entry)
        if reason is not None:
            raise CaptureFailed(f"{shown(path)} {reason}", hint="no image can hold it")
        if action == "empty":
            return Found(replace(entry, size=0))
        if found.identity is not None:
            first = self._first.setdefault(found.identity, path)
            if first != path:
                return Found(_link(entry, first))
        return found


def _link(entry: Entry, first: bytes) -> Entry:
    return replace(entry, kind="h", size=0, target=first, device=(0, 0), xattrs=())
