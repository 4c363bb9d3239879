# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between an image and a tree that was found, and what is to be done about it. Pure.

Like rsync: a file of the same size and time is taken to be the same, unless its data were read.
`doubtful` says which data to read; `compare` decides, and knows which of them are there.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec

from swarmstrap.difference import Difference, Held, parent
from swarmstrap.errors import Refused
from swarmstrap.index import Entry, Index, shown
from swarmstrap.preserving import Rules

# What an image keeps of a file's attributes.
_NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.posix_acl_")
# Set by the running system's policy, or by xfs for itself: no difference unless the image has them.
_UNMANAGED = frozenset({b"security.selinux", b"security.ima", b"security.evm"}) | {
    b"trusted.SGI_ACL_FILE",
    b"trusted.SGI_ACL_DEFAULT",
}
# FAT counts in units of two seconds (fatgen103), and knows nothing else of an entry.
_FAT_TIME = 2 * 10**9
_NAME_BYTES = 200
_TEMPORARY = re.compile(rb"\.swarmstrap-[0-9a-f]{8}-.*", re.DOTALL)


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What is at one path: `entry` as an index would say it, never as a hard link; None for a
    socket. `inode` is (st_dev, st_ino), `links` the number of its names.
    """

    entry: Entry | None
    inode: tuple[int, int]
    links: int


@dataclass(frozen=True, slots=True)
class FoundTree:
    """What was found, by path. `foreign` are places where something else is mounted; `bare` the
    devices (st_dev) of filesystems that know no owners, modes and attributes.
    """

    found: Mapping[bytes, Seen]
    foreign: frozenset[bytes] = frozenset()
    bare: frozenset[int] = frozenset()


def temporary(path: bytes) -> bytes:
    """Where the new `path` is made before it takes the old one's place, in the same directory."""
    parent, slash, name = path.rpartition(b"/")
    mark = hashlib.sha256(name).hexdigest()[:8].encode()
    return parent + slash + b".swarmstrap-" + mark + b"-" + name[:_NAME_BYTES]


def doubtful(index: Index, tree: FoundTree, rules: Rules, *, everything: bool) -> list[int]:
    """Files whose data are to be read. Where times differ the data may still be the image's, and of
    a file of several frames most of them; `everything` trusts no time.
    """
    parts = {m.entry for frame in index.frames for m in frame.members if not m.whole}
    numbers = []
    for number in sorted({m.entry for frame in index.frames for m in frame.members}):
        entry = index.entries[number]
        seen = tree.found.get(entry.path)
        if seen is None or seen.entry is None or seen.entry.kind != "f":
            continue
        if _stays(entry.path, tree, rules):
            continue
        same_size = seen.entry.size == entry.size
        if number in parts or same_size:
            if everything or not same_size or not _same_time(entry, seen, tree):
                numbers.append(number)
    return numbers


def compare(index: Index, tree: FoundTree, rules: Rules, held: Held) -> Difference:
    """What makes `tree` the image but for what the rules leave alone. `held` has a key for each
    file that was read. Raises Refused where the image has no room for what must stay.
    """
    return _Comparison(index, tree, rules, held).difference()


class _Comparison:
    def __init__(self, index: Index, tree: FoundTree, rules: Rules, held: Held) -> None:
        self._entries = index.entries
        self._tree = tree
        self._rules = rules
        self._held = held
        self._anew: set[bytes] = set()
        self._closed: set[bytes] = set()
        self._numbers = {entry.path: number for number, entry in enumerate(index.entries)}
        self._frames: defaultdict[int, set[int]] = defaultdict(set)
        self._parts: set[int] = set()
        for number, frame in enumerate(index.frames):
            for member in frame.members:
                self._frames[member.entry].add(number)
                if not member.whole:
                    self._parts.add(member.entry)

    def difference(self) -> Difference:
        made: list[int] = []
        written: list[int] = []
        linked: list[int] = []
        described: list[int] = []
        for number, entry in enumerate(self._entries):
            seen = self._tree.found.get(entry.path)
            if self._is_closed(entry, seen) or (seen and entry.path in self._staying):
                continue
            if entry.kind == "h":
                if not self._is_link(entry, seen):
                    linked.append(number)
            elif not self._same_place(number, entry, seen):
                (written if number in self._frames else made).append(number)
                self._anew.add(entry.path)
            elif seen is not None and not self._same_metadata(entry, seen):
                described.append(number)
        cleared = self._in_the_way()
        return Difference(
            made=tuple(made),
            written=tuple(written),
            linked=tuple(linked),
            described=tuple(described),
            cleared=_children_first(cleared),
            removed=_children_first(self._gone - cleared),
            reused={n: self._held[n] for n in written if n in self._parts and self._held.get(n)},
        )

    def _is_closed(self, entry: Entry, seen: Seen | None) -> bool:
        """Whether nothing can be done at this path: something else is mounted there or above, or
        what stays above is no directory.
        """
        closed = entry.path in self._tree.foreign or parent(entry.path) in self._closed
        if seen is not None and entry.path in self._staying:
            closed = closed or seen.entry is None or seen.entry.kind != "d"
        if closed:
            self._closed.add(entry.path)
        return closed or (entry.kind == "h" and entry.target in self._closed)

    @cached_property
    def _staying(self) -> frozenset[bytes]:
        """Found paths that are left as they are; raises Refused when one cannot be."""
        staying = set()
        for path in self._tree.found:
            known = path in self._numbers
            if _stays(path, self._tree, self._rules) or (not known and self._may_add(path)):
                staying.add(path)
                for above in _ancestors(path):
                    if above not in self._numbers:
                        staying.add(above)
                    elif self._entries[self._numbers[above]].kind != "d":
                        self._check_may_stay(path, above)
        return frozenset(staying)

    def _check_may_stay(self, path: bytes, above: bytes) -> None:
        if not _stays(above, self._tree, self._rules):
            raise Refused(
                f"{shown(path)} is to be preserved, and {shown(above)} is no directory in the "
                "image",
                hint="move it elsewhere, or do not preserve it",
            )

    def _may_add(self, path: bytes) -> bool:
        return self._rules.may_add(path) and not _is_temporary(path)

    @cached_property
    def _gone(self) -> frozenset[bytes]:
        return frozenset(self._tree.found.keys() - self._numbers.keys() - self._staying)

    @cached_property
    def _visited(self) -> frozenset[bytes]:
        """Directories that hold what is not the image's: their time tells nothing."""
        return frozenset(parent(path) for path in self._staying)

    @cached_property
    def _names(self) -> Mapping[tuple[int, int], set[bytes]]:
        """All found names of those inodes that have several."""
        names: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)
        for path, seen in self._tree.found.items():
            if seen.links > 1 and (seen.entry is None or seen.entry.kind != "d"):
                names[seen.inode].add(path)
        return names

    @cached_property
    def _groups(self) -> Mapping[bytes, set[bytes]]:
        groups: defaultdict[bytes, set[bytes]] = defaultdict(set)
        for entry in self._entries:
            if entry.kind == "h":
                groups[entry.target].add(entry.path)
        return groups

    def _in_the_way(self) -> set[bytes]:
        """A directory where the image has none, with all in it, and the reverse; and what an
        interrupted update left.
        """
        blocking = set()
        for path, seen in self._tree.found.items():
            number = self._numbers.get(path)
            if number is not None and path not in self._staying:
                is_directory = seen.entry is not None and seen.entry.kind == "d"
                if is_directory != (self._entries[number].kind == "d"):
                    blocking.add(path)
        below = {
            p for p in self._gone if _is_temporary(p) or not blocking.isdisjoint(_ancestors(p))
        }
        return blocking | below

    def _is_link(self, entry: Entry, seen: Seen | None) -> bool:
        leader = self._tree.found.get(entry.target)
        if seen is None or leader is None or entry.target in self._anew:
            return False
        return seen.inode == leader.inode

    def _same_place(self, number: int, entry: Entry, seen: Seen | None) -> bool:
        """Whether what is there can stay, and at most its metadata change."""
        if seen is None or seen.entry is None or seen.entry.kind != entry.kind:
            return False
        if entry.kind == "d":
            return True
        if seen.links > 1 and not self._own_names_only(entry.path, seen):
            return False
        if number in self._frames:
            return self._same_data(number, entry, seen)
        # Nothing is lost by making it anew, and only then it is whole at any moment.
        same = (seen.entry.size, seen.entry.target, seen.entry.device)
        return same == (entry.size, entry.target, entry.device) and self._same_metadata(entry, seen)

    def _own_names_only(self, path: bytes, seen: Seen) -> bool:
        """No name that stays, and that the image does not give to this file, has its inode."""
        names = self._names[seen.inode]
        own = names & ({path} | self._groups.get(path, set())) | names & self._gone
        return len(own) == seen.links

    def _same_data(self, number: int, entry: Entry, seen: Seen) -> bool:
        if seen.entry is None or seen.entry.size != entry.size:
            return False
        if number in self._held:
            return self._held[number] == self._frames[number]
        return _same_time(entry, seen, self._tree)

    def _same_metadata(self, entry: Entry, seen: Seen) -> bool:
        found = seen.entry
        if found is None or seen.inode[0] in self._tree.bare:
            return True
        mode = entry.mode if entry.kind == "l" else found.mode  # a symbolic link's means nothing
        if (mode, found.uid, found.gid) != (entry.mode, entry.uid, entry.gid):
            return False
        xattrs = dict(found.xattrs)
        if strange_xattrs(xattrs, entry) or any(
            xattrs.get(name) != value for name, value in entry.xattrs
        ):
            return False
        timeless = entry.kind == "d" and entry.path in self._visited
        return timeless or found.mtime == entry.mtime


def strange_xattrs(names: Iterable[bytes], entry: Entry) -> list[bytes]:
    """Those of the attributes found at `entry` that are to go."""
    own = {name for name, _ in entry.xattrs} | _UNMANAGED
    return [name for name in names if name not in own and name.startswith(_NAMESPACES)]


def _stays(path: bytes, tree: FoundTree, rules: Rules) -> bool:
    return path in tree.foreign or (rules.untouched(path) and not _is_temporary(path))


def _same_time(entry: Entry, seen: Seen, tree: FoundTree) -> bool:
    if seen.entry is None:
        return False
    apart = abs(seen.entry.mtime - entry.mtime)
    return apart < _FAT_TIME if seen.inode[0] in tree.bare else not apart


def _is_temporary(path: bytes) -> bool:
    return _TEMPORARY.fullmatch(path.rpartition(b"/")[2]) is not None


def _ancestors(path: bytes) -> Iterator[bytes]:
    """The directories above `path` but for the root, the nearest first."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _children_first(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(paths, reverse=True))
