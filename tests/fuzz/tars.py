# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives as no tar would make them: any member after any other, with headers that may lie."""

import tarfile

from hypothesis import strategies as some
from tests.fuzz.mutations import PATHS

NAMES = tuple(path.decode("utf-8", "surrogateescape") for path in PATHS if len(path) < 999)
_NAMES = some.sampled_from((*NAMES, "d", "d/", "./d/f", "f", "f", "link", "hard", "d/f/below"))
_TYPES = b"0" * 8 + b"5555" + b"1111" + b"2222" + b"3467" + b"SLKxgXVDMA\0z"
_NUMBERS = some.sampled_from((0, 0, 1, 3, 511, 512, 513, 1000, 1 << 20, 1 << 33, 1 << 62))
_RECORDS = some.sampled_from(
    (
        ("path", "../outside/new"),
        ("path", "d/from pax"),
        ("linkpath", "f"),
        ("size", "3"),
        ("size", "-1"),
        ("size", "99999999999999999999"),
        ("mtime", "1.5"),
        ("mtime", "-1e400"),
        ("mtime", "nan"),
        ("mtime", "١.٥"),
        ("uid", "4294967295"),
        ("gid", "-1"),
        ("hdrcharset", "BINARY"),
        ("SCHILY.xattr.user.a", "b"),
        ("SCHILY.xattr.", "no name"),
        ("SCHILY.xattr.security.capability", "\x01\x00\x00\x02"),
        ("LIBARCHIVE.xattr.user.b", "Yg=="),
        ("LIBARCHIVE.xattr.user.b", "%"),
        ("SCHILY.acl.access", "user::rw-\nuser:5:r--\ngroup::r--\nmask::r--\nother::---\n"),
        ("SCHILY.acl.access", "user::rwz,group"),
        ("SCHILY.acl.default", "user:nobody:rwx:99999999999999999999"),
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "d/sparse"),
        ("GNU.sparse.realsize", "4611686018427387904"),
        ("GNU.sparse.realsize", "-5"),
        ("GNU.sparse.size", "10"),
        ("GNU.sparse.map", "0,3,7,1"),
        ("GNU.sparse.map", "5,-3,x"),
        ("GNU.sparse.numblocks", "99999999"),
    )
)


@some.composite
def members(draw: some.DrawFn) -> bytes:
    """A header and its data."""
    info = tarfile.TarInfo(draw(_NAMES))
    info.type = bytes([draw(some.sampled_from(_TYPES))])
    info.linkname = draw(some.sampled_from(("", "f", "d", "hard", "../outside/secret")) | _NAMES)
    info.mode = draw(some.sampled_from((0o644, 0o7777, 0o100644, 0)))
    data = draw(some.sampled_from((b"", b"abc", b"2\n0\n3\n9\n1\n", b"x" * 600, b"1\n" * 700)))
    info.size = draw(some.just(len(data)) | _NUMBERS)
    info.uid = info.gid = draw(some.sampled_from((0, 5, 2**21, 2**32)))
    info.mtime = draw(some.sampled_from((0, 7, 2**33, 2**70)))
    info.devmajor, info.devminor = draw(some.tuples(_NUMBERS, _NUMBERS))
    info.pax_headers = dict(draw(some.lists(_RECORDS, max_size=4)))
    gnu = draw(some.integers(0, 3)) == 0
    try:
        header = info.tobuf(
            tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT, "utf-8", "surrogateescape"
        )
    except ValueError:  # larger than the format has digits for
        return b""
    return header + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def archives() -> some.SearchStrategy[bytes]:
    end = some.sampled_from((bytes(1024), bytes(1024), bytes(512), b""))
    return some.tuples(some.lists(members(), max_size=8).map(b"".join), end).map(b"".join)


def valid_archive() -> bytes:
    plain = tarfile.TarInfo("d/f")
    plain.size = 3
    parts = [plain.tobuf(tarfile.PAX_FORMAT), b"abc".ljust(512, b"\0")]
    for name, type_, target in (("hard", b"1", "d/f"), ("link", b"2", "../outside")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = type_, target
        info.pax_headers = {"SCHILY.xattr.trusted.a": "b", "mtime": "1.5"}
        parts.append(info.tobuf(tarfile.PAX_FORMAT))
    return b"".join(parts) + bytes(1024)
