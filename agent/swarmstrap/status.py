# SPDX-License-Identifier: GPL-2.0-or-later
"""What lstat(2) says of a path, as an index would say it. Pure."""

import os
import stat

from swarmstrap.index import Entry, Kind

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
}


def kind_of(status: os.stat_result) -> Kind | None:
    """None for a socket. Never `h`: which names are one file is not said of any of them alone."""
    return _KINDS.get(stat.S_IFMT(status.st_mode))


def entry_of(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    target: bytes,
    xattrs: tuple[tuple[bytes, bytes], ...],
) -> Entry:
    device = (0, 0)
    if kind in "cb":
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == "f" else 0,
        target=target,
        device=device,
        xattrs=xattrs,
    )
