# SPDX-License-Identifier: GPL-2.0-or-later
"""A tar as a tree: its headers are read by Python's tarfile, its data stay where they are.

Every member is checked before it has an effect. What only looks odd is taken as it is meant: `./`
before a name, slashes after it, a path that comes again because somebody appended a newer file.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from swarmstrap.extents import total
from swarmstrap.index import ROOT, Entry, Kind, problem, shown
from swarmstrap.units import MiB
from swarmstrap_server.images.source import CaptureFailed, Report
from swarmstrap_server.images.sources import spool, tarattributes
from swarmstrap_server.images.sources.kept import Kept, Store
from swarmstrap_server.images.sources.tree import Tree
from swarmstrap_server.images.tarstream import BLOCK

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "f",
    tarfile.AREGTYPE: "f",
    tarfile.CONTTYPE: "f",
    tarfile.GNUTYPE_SPARSE: "f",
    tarfile.DIRTYPE: "d",
    b"D": "d",  # of an incremental GNU tar, with a list of names as its data
    tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "h",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
    tarfile.FIFOTYPE: "p",
}
_VOLUME_LABEL = b"V"
# More is no header: names, ACLs and attributes of one member, or the map of a sparse file.
_MAX_HEADER = 32 * MiB
# As many as an index can hold, and a server's memory.
_MAX_MEMBERS = 8_000_000
# What tarfile raises besides its own errors when a header makes no sense.
_SENSELESS = (tarfile.TarError, ValueError, LookupError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Member:
    """An entry, with its data, and ACLs that are still text."""

    entry: Entry
    kept: Kept | None
    acls: tarattributes.Texts


def looks_like_tar(path: Path) -> bool:
    """Whether a file begins as a tar, or as something compressed, which may be one."""
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
        if spool.compression(head) == "none":
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (OSError, tarfile.HeaderError):
        return False
    return True


@contextmanager
def tar_source(path: Path, folder: Path, report: Report) -> Iterator[Tree]:
    """The tar at `path`, of any compression, which is unpacked to a nameless file in `folder`."""
    with spool.plain(path, folder, report) as store:
        tree = Tree(str(path))
        fill(tree, members(store, tree.name))
        yield tree


def fill(tree: Tree, found: Iterable[Member]) -> None:
    """Put the members into `tree`, as its next layer."""
    acls = tarattributes.Acls(tree)
    for member in found:
        tree.put(member.entry, member.kept)
        acls.note(member.entry.path, member.acls)
    acls.apply()


def members(store: Store, name: str) -> Iterator[Member]:
    """The members of the tar in `store`; `name` is for messages.

    Raises CaptureFailed, which names the member, for what no tar of a tree has.
    """
    headers = _Headers(store)
    last = "its begin"
    try:
        archive = tarfile.TarFile(fileobj=headers, encoding="utf-8", errors="surrogateescape")
        for count, info in enumerate(archive):
            archive.members = []  # type: ignore[attr-defined]  # it would keep them all
            headers.new_member()
            if count >= _MAX_MEMBERS:
                raise CaptureFailed(
                    f"{name} has more than {_MAX_MEMBERS} members", hint="no index can hold them"
                )
            if info.type != _VOLUME_LABEL:
                yield _member(info, store, name)
            last = shown(_bytes(info.name))
    except (*_SENSELESS, _TooLarge) as error:
        raise CaptureFailed(
            f"{name} cannot be read after {last}: {error}",
            hint="it is no tar, damaged, or cut off",
        ) from error
    if headers.last != bytes(BLOCK):
        raise CaptureFailed(
            f"{name} ends after {last} without the end of a tar",
            hint="it is damaged or cut off: get it again",
        )


class _TooLarge(Exception):
    pass


class _Headers(io.RawIOBase):
    """What tarfile reads: headers, and not more than one member can have."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._place = 0
        self._budget = _MAX_HEADER
        self.last = b""

    def new_member(self) -> None:
        self._budget = _MAX_HEADER

    def read(self, size: int = -1) -> bytes:
        self._budget -= max(size, 1)
        if size < 0 or self._budget < 0:
            raise _TooLarge("a header is larger than any can be")
        self.last = self._store.pread(size, self._place)
        self._place += len(self.last)
        return self.last

    def seek(self, place: int, whence: int = 0) -> int:
        self._place = place
        return place

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True


def _member(info: tarfile.TarInfo, store: Store, name: str) -> Member:
    kind = _KINDS.get(info.type)
    if kind is None:
        reason = f"has the type {shown(info.type)}, which is nothing that a system has"
        raise _refused(name, info, reason)
    path = _path(info.name)
    target = _path(info.linkname) if kind == "h" else _bytes(info.linkname)
    if path is None or target is None:
        raise _refused(name, info, "leads out of the archive")
    xattrs, acls = tarattributes.read(info.pax_headers)
    entry = Entry(
        path=path,
        kind=kind,
        mode=0o777 if kind == "l" else info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        mtime=_mtime(info),
        size=info.size if kind == "f" else 0,
        target=target if kind in "lh" else b"",
        device=(info.devmajor, info.devminor) if kind in "cb" else (0, 0),
        xattrs=xattrs,
    )
    kept = _kept(info, store) if kind == "f" else None
    wrong = problem(entry) or (None if kept is None else _false_size(kept))
    if wrong is not None:
        raise _refused(name, info, wrong)
    return Member(entry, kept, acls)


def _kept(info: tarfile.TarInfo, store: Store) -> Kept:
    sparse: list[tuple[int, int]] | None = getattr(info, "sparse", None)
    parts = [(0, info.size)] if sparse is None else [part for part in sparse if part[1]]
    return Kept(store, info.offset_data, tuple(parts), info.size)


def _false_size(kept: Kept) -> str | None:
    if kept.size < 0 or any(begin < 0 or length < 0 for begin, length in kept.parts):
        return "has a negative size"
    if any(begin + length > following for (begin, length), (following, _) in pairwise(kept.parts)):
        return "has a sparse map out of order"
    if kept.parts and sum(kept.parts[-1]) > kept.size:
        return "has a sparse map larger than itself"
    if kept.begin + total(kept.parts) > kept.store.size:
        return "goes on after the end of the archive: it is cut off"
    return None


def _path(name: str) -> bytes | None:
    """As in an index; None when it is none below the root."""
    parts = [part for part in _bytes(name).split(b"/") if part not in (b"", b".")]
    if name.startswith("/") or b".." in parts:
        return None
    return b"/".join(parts) or ROOT


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _mtime(info: tarfile.TarInfo) -> int:
    """In nanoseconds; tarfile's own is a float, which has not enough digits."""
    text = info.pax_headers.get("mtime")
    if text is None:
        return int(info.mtime) * 10**9
    whole, _, fraction = text.partition(".")
    nanoseconds = int(fraction[:9].ljust(9, "0"))
    return int(whole) * 10**9 + (-nanoseconds if whole.startswith("-") else nanoseconds)


def _refused(name: str, info: tarfile.TarInfo, reason: str) -> CaptureFailed:
    return CaptureFailed(
        f"{name}: {shown(_bytes(info.name))} {reason}",
        hint="this is no archive of a system: make it again, with relative paths",
    )
