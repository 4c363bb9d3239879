# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers as another reader sees them: Python's tarfile, which shares no code with ours."""

import io
import struct
import tarfile

import pytest
from tests.trees import acl

from swarmstrap.index import Entry
from swarmstrap_server.images.attributes import acl_text
from swarmstrap_server.images.tarstream import TRAILER, header, padding


def read(
    entry: Entry, data: bytes = b"", extents: tuple[tuple[int, int], ...] = ()
) -> tarfile.TarInfo:
    stream = header(entry, extents) + data + bytes(padding(len(data))) + TRAILER
    assert len(stream) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        (member,) = archive.getmembers()
        if data:
            file = archive.extractfile(member)
            assert file is not None
            assert len(file.read()) == entry.size
        return member


def test_a_plain_file_needs_one_block() -> None:
    entry = Entry(b"etc/passwd", "f", 0o640, 1, 2, 5 * 10**9, 3)
    assert len(header(entry, ((0, 3),))) == 512
    member = read(entry, b"abc", ((0, 3),))
    assert (member.name, member.mode, member.uid, member.gid) == ("etc/passwd", 0o640, 1, 2)
    assert (member.mtime, member.size, member.type) == (5, 3, tarfile.REGTYPE)


@pytest.mark.parametrize("length", [99, 100, 101, *range(968, 996), 4000])
def test_paths_of_any_length(length: int) -> None:
    path = b"/".join([b"n" * 99] * 41)[:length].rstrip(b"/")
    assert read(Entry(path, "f", 0o644, 0, 0, 0)).name == path.decode()
    assert read(Entry(b"l", "l", 0o777, 0, 0, 0, target=path)).linkname == path.decode()


def test_bytes_that_are_no_text() -> None:
    member = read(Entry(b"\xff\n" * 60, "f", 0o644, 0, 0, 0))
    assert member.name.encode("utf-8", "surrogateescape") == b"\xff\n" * 60


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(1, "0.000000001"), (-1, "-0.000000001"), (1_500_000_000, "1.5"), (-(10**9), "-1")],
)
def test_times(nanoseconds: int, text: str) -> None:
    member = read(Entry(b"f", "f", 0o644, 0, 0, nanoseconds))
    assert member.pax_headers["mtime"] == text


def test_large_numbers() -> None:
    size = 9 << 30
    entry = Entry(b"f", "f", 0o644, 3_000_000, 4_294_967_294, 0, size)
    with tarfile.open(fileobj=io.BytesIO(header(entry, ((0, size),)))) as archive:
        member = archive.next()
    assert member is not None
    assert (member.uid, member.gid, member.size) == (3_000_000, 4_294_967_294, size)


def test_devices() -> None:
    member = read(Entry(b"d", "b", 0o660, 0, 6, 0, device=(259, 1048575)))
    assert (member.type, member.devmajor, member.devminor) == (tarfile.BLKTYPE, 259, 1048575)


@pytest.mark.parametrize(
    ("size", "extents"),
    [(1 << 40, ((4096, 4096),)), (8192, ((4096, 4096),)), (1 << 30, ()), (9, ((0, 4),))],
)
def test_sparse_files(size: int, extents: tuple[tuple[int, int], ...]) -> None:
    entry = Entry(b"dir/sparse", "f", 0o644, 0, 0, 0, size)
    data = b"x" * sum(length for _, length in extents)
    with tarfile.open(fileobj=io.BytesIO(header(entry, extents) + data + bytes(512))) as archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.size) == ("dir/sparse", size)
    sparse = getattr(member, "sparse")  # noqa: B009 - typeshed does not know it
    assert [part for part in sparse if part[1]] == list(extents)


def test_acls_are_text_with_numeric_ids() -> None:
    text = b"user::rw-\nuser:1000:r--\nuser:4242424:rwx\n"
    text += b"group::r--\ngroup:70000:r-x\nmask::rwx\nother::---\n"
    assert acl_text(acl()) == text
    entry = Entry(b"f", "f", 0o660, 0, 0, 0, xattrs=((b"system.posix_acl_access", acl()),))
    assert read(entry).pax_headers["SCHILY.acl.access"].encode() == text
    with pytest.raises(ValueError, match="version 3"):
        acl_text(struct.pack("<I", 3))
