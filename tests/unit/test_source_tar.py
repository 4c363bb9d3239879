# SPDX-License-Identifier: GPL-2.0-or-later
"""A tar gives the image that the tree it was made of gives; and what is no tar of a tree is refused
in one line.
"""

import io
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trees import nasty_system, needs_root, scratch, small_system

from swarmstrap.index import Entry
from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.attributes import acl_text
from swarmstrap_server.images.framing import Framer
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed, Source
from swarmstrap_server.images.sources import spool
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.sources.tar import tar_source
from swarmstrap_server.images.walk import Walk


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture(scope="module")
def key(place: Path) -> Key:
    return Key.generate(place / "publisher")


@pytest.fixture(scope="module")
def nasty(place: Path) -> Path:
    root = place / "nasty"
    root.mkdir()
    nasty_system(root)
    return root


@pytest.fixture(scope="module")
def carried(place: Path, nasty: Path) -> Path:
    """The nasty tree without what GNU tar cannot carry: hard links to what is no file or symbolic
    link. It writes the names of users in ACLs, which the tree's own accounts must know.
    """
    root = place / "carried"
    subprocess.run(["cp", "-a", nasty, root], check=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", root / "etc")
    several_names = ["-links", "+1", "!", "-type", "d", "!", "-type", "f", "!", "-type", "l"]
    subprocess.run(["find", root, *several_names, "-delete"], check=True)
    return root


def image(source: Source, place: Path, key: Key) -> Published:
    store = ImageStore(place / f"images-{random.randbytes(4).hex()}")
    return publish(source, "same", "1", store, key, level=1, strip=())


def image_of_tar(path: Path, place: Path, key: Key) -> Published:
    with tar_source(path, place, lambda *_: None) as source:
        return image(source, place, key)


@needs_root
def test_an_images_own_payload_gives_the_same_image(nasty: Path, place: Path, key: Key) -> None:
    first = image(Directory(nasty), place, key)
    again = image_of_tar(first.directory / PAYLOAD_FILE, place, key)
    assert again.manifest.payload == first.manifest.payload
    assert again.manifest.infohash == first.manifest.infohash


@needs_root
@pytest.mark.parametrize("order", ["name", "inode"])
def test_gnu_tar_gives_the_same_image(carried: Path, place: Path, key: Key, order: str) -> None:
    archive = place / f"by-{order}.tar"
    options = ["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "--acls"]
    where = ["-C", str(carried), "-cf", str(archive)]
    subprocess.run(["tar", *where, *options, f"--sort={order}", "."], check=True)
    made = image_of_tar(archive, place, key)
    assert made.manifest.infohash == image(Directory(carried), place, key).manifest.infohash


COMPRESSORS = {
    "gzip": ["gzip", "-1"],
    "bzip2": ["bzip2"],
    "xz": ["xz", "-1", "-T1"],
    "zstd": ["zstd", "-q"],
    "lz4": ["lz4", "-q"],
}


@pytest.fixture(scope="module")
def plain_tar(place: Path) -> Path:
    small_system(place / "small")
    archive = place / "small.tar"
    subprocess.run(["tar", "-C", place / "small", "-cf", archive, "."], check=True)
    return archive


def entries(path: Path, folder: Path) -> dict[bytes, Entry]:
    with tar_source(path, folder, lambda *_: None) as source:
        framer = Framer(Walk(source, ()))
        list(framer)
    return {entry.path: entry for entry in framer.entries}


@pytest.mark.parametrize("program", COMPRESSORS)
def test_any_compression(plain_tar: Path, tmp_path: Path, program: str) -> None:
    packed = tmp_path / "archive"
    packed.write_bytes(
        subprocess.run(
            [*COMPRESSORS[program], "-c", plain_tar], check=True, stdout=subprocess.PIPE
        ).stdout
    )
    assert entries(packed, tmp_path) == entries(plain_tar, tmp_path)
    assert os.listdir(tmp_path) == ["archive"]
    cut = tmp_path / "cut"
    cut.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(CaptureFailed, match=r"cut (cannot be unpacked|cannot be read|ends after)"):
        entries(cut, tmp_path)


@pytest.mark.parametrize("program", ["gzip", "xz", "zstd"])
def test_compressed_files_one_after_the_other_are_one(
    plain_tar: Path, tmp_path: Path, program: str
) -> None:
    data = plain_tar.read_bytes()
    packed = b"".join(
        subprocess.run(
            [*COMPRESSORS[program], "-c"], input=part, check=True, stdout=subprocess.PIPE
        ).stdout
        for part in (data[:1000], data[1000:])
    )
    (tmp_path / "archive").write_bytes(packed)
    assert entries(tmp_path / "archive", tmp_path) == entries(plain_tar, tmp_path)


def test_what_unpacks_without_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "zeros.gz"
    with subprocess.Popen(["gzip", "-c"], stdin=subprocess.PIPE, stdout=packed.open("wb")) as gzip:
        assert gzip.stdin is not None
        gzip.stdin.write(bytes(200 << 20))
    monkeypatch.setattr(spool, "_ALWAYS_ALLOWED", 0)
    monkeypatch.setattr(spool, "_MOST_RATIO", 100)
    with pytest.raises(CaptureFailed, match=r"zeros.gz unpacks to more than 19\.\d MiB"):
        entries(packed, tmp_path)


def test_no_more_than_the_disk_can_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(spool, "_RESERVE", free)
    assert spool.most_unpacked(1 << 40, tmp_path) <= 1 << 30


def member(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in values.items():
        setattr(info, key, value)
    return info


def tar(*members: tarfile.TarInfo, end: bytes = bytes(1024)) -> bytes:
    """Their headers, with zeros as data; sizes may lie."""
    data = b""
    for info in members:
        data += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        data += bytes(info.size if info.isreg() and info.size < 1 << 20 else 0)
        data += bytes(-len(data) % 512)
    return data + end


LINK = tarfile.LNKTYPE
HOSTILE: dict[str, tuple[bytes, str]] = {
    "parent": (tar(member("../etc/passwd")), "'../etc/passwd' leads out of the archive"),
    "parent within": (tar(member("a/../../b")), "'a/../../b' leads out of the archive"),
    "absolute": (tar(member("/etc/passwd")), "'/etc/passwd' leads out of the archive"),
    "below a symlink": (
        tar(member("l", tarfile.SYMTYPE, linkname="/etc"), member("l/passwd")),
        "'l/passwd' is below 'l', which is a symbolic link",
    ),
    "below a file": (tar(member("f"), member("f/g/h")), "'f/g/h' is below 'f', which is a file"),
    "link to nothing": (tar(member("h", LINK, linkname="f")), "'h' is a hard link to 'f', which"),
    "link forward": (tar(member("h", LINK, linkname="f"), member("f")), "'h' is a hard link to"),
    "link to itself": (tar(member("f"), member("f", LINK, linkname="f")), "'f' is a hard link to"),
    "links in a circle": (
        tar(member("a", LINK, linkname="b"), member("b", LINK, linkname="a")),
        "'a' is a hard link to 'b'",
    ),
    "link outside": (tar(member("h", LINK, linkname="../x")), "'h' leads out of the archive"),
    "link to a directory": (
        tar(member("d", tarfile.DIRTYPE), member("h", LINK, linkname="d")),
        "'h' is a hard link to 'd'",
    ),
    "two kinds": (
        tar(member("x", tarfile.DIRTYPE), member("x", tarfile.SYMTYPE, linkname="y")),
        "'x' is a directory first, and a symbolic link then",
    ),
    "two kinds, one implied": (tar(member("x/y"), member("x")), "'x' is a directory first"),
    "root is a file": (tar(member("./")), "'.' is a directory first, and a file then"),
    "too large": (tar(member("f", size=1 << 40)), "'f' goes on after the end of the archive"),
    "negative": (
        tar(member("f", pax_headers={"size": "-512"})),
        "'f' has size -512",
    ),
    "sparse": (
        tar(
            member(
                "f", size=512, pax_headers={"GNU.sparse.map": "0,99,50,9", "GNU.sparse.size": "99"}
            )
        ),
        "'f' has a sparse map out of order",
    ),
    "sparse beyond itself": (
        tar(
            member("f", size=512, pax_headers={"GNU.sparse.map": "90,20", "GNU.sparse.size": "99"})
        ),
        "'f' has a sparse map larger than itself",
    ),
    "owner": (tar(member("f", uid=1 << 40)), "'f' has owner 1099511627776:0"),
    "long name": (tar(member("n" * 300)), "is not a path below the image root"),
    "deep": (tar(member("a/" * 3000 + "f")), "is not a path"),
    "year": (tar(member("f", pax_headers={"mtime": "9" * 30})), "'f' has a time out of range"),
    "time": (tar(member("e"), member("f", pax_headers={"mtime": "soon"})), "read after 'e'"),
    "type": (tar(member("f", b"Q")), "'f' has the type 'Q', which is nothing"),
    "acl": (tar(member("f", pax_headers={"SCHILY.acl.access": "user:x"})), "'f' has no proper ACL"),
    "acl twice": (
        tar(member("f", pax_headers={"SCHILY.acl.access": "u::r,u::r,g::r,o::r,m::r"})),
        "'f' has no proper ACL",
    ),
    "large header": (
        tar(member("f"), member("x", tarfile.XHDTYPE, size=1 << 32)),
        "cannot be read after 'f': a header is larger than any can be",
    ),
    "headers without end": (
        tar(*[member("x", tarfile.XHDTYPE)] * 2000),
        "cannot be read after its begin",
    ),
    "no tar": (b"no tar" * 1000, "cannot be read after its begin"),
    "nothing": (b"", "cannot be read after its begin: empty file"),
    "damaged": (
        tar(member("f"), end=b"\1" * 1024),
        "ends after 'f' without the end of a tar",
    ),
    "cut off": (tar(member("f"), end=b""), "ends after 'f' without the end of a tar"),
    "cut off in data": (tar(member("f", size=600), end=b"")[:-600], "'f' goes on after the end"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_refused_in_one_line(case: str, tmp_path: Path) -> None:
    data, reason = HOSTILE[case]
    archive = tmp_path / "hostile.tar"
    archive.write_bytes(data)
    with pytest.raises(CaptureFailed) as caught:
        entries(archive, tmp_path)
    assert str(caught.value).startswith(str(archive)), caught.value
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_oddities_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    (tmp_path / "odd.tar").write_bytes(
        tar(
            member("./a//b/./f", mode=0o600),
            member("a/", tarfile.DIRTYPE, mode=0o700, mtime=5),
            member("a/b/h", LINK, linkname="./a/b/f"),
            member("a/b/f", mode=0o640, size=3),
            member("a", tarfile.DIRTYPE, mode=0o711),
            member("label", b"V"),
        )
    )
    with tar_source(tmp_path / "odd.tar", tmp_path, lambda *_: None) as source:
        found = {entry.path: entry for entry in Walk(source, ())}
        assert source.warnings == [
            "no entry describes 1 directories, made with mode 0755 for root: 'a/b'"
        ]
    kinds = {path: (entry.kind, entry.mode, entry.size) for path, entry in found.items()}
    assert kinds == {
        b".": ("d", 0o755, 0),
        b"a": ("d", 0o711, 0),
        b"a/b": ("d", 0o755, 0),
        b"a/b/f": ("f", 0o640, 3),
        b"a/b/h": ("f", 0o600, 0),
    }
    assert found[b"a/b"].mtime == 0


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({"SCHILY.xattr.user.a%3Db%25c": "x=y\n"}, {b"user.a=b%c": b"x=y\n"}),
        ({"SCHILY.xattr.user.raw": "\udcff\udcfe"}, {b"user.raw": b"\xff\xfe"}),
        ({"LIBARCHIVE.xattr.user.a%3Db": "/w"}, {b"user.a=b": b"\xff"}),
        ({"LIBARCHIVE.xattr.user.a": "/w", "SCHILY.xattr.user.a": "b"}, {b"user.a": b"b"}),
        ({"RHT.security.selinux": "u:r:t:s0"}, {b"security.selinux": b"u:r:t:s0\0"}),
        ({"SCHILY.xattr.com.apple.quarantine": "x", "SCHILY.xattr.system.nfs4_acl": "x"}, {}),
        ({"SCHILY.acl.access": "user::rw-\ngroup::r--\nother::r--\n"}, {}),
    ],
)
def test_attributes(records: dict[str, str], expected: dict[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar(member("f", pax_headers=records)))
    assert dict(entries(tmp_path / "a.tar", tmp_path)[b"f"].xattrs) == expected


@pytest.mark.parametrize(
    "text",
    [
        "user::rw-\nuser:me:r--\ngroup::r--\nmask::rw-\nother::---\n",
        "user::rw-,user:1000:r--,group::r--,mask::rw-,other::---",
        "user::rw-,user:nobody:r--:1000,group::r--,mask::rw-,other::---",
        "u::rw-\nm::rw-\t#effective:rw-\no::---\ng::r--\nu:1000:r--",
    ],
)
def test_acls_of_any_tar(text: str, tmp_path: Path) -> None:
    passwd = b"root:x:0:0::/:/bin/sh\nme:x:1000:1000::/:/bin/sh\n"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as writer:
        writer.addfile(member("f", pax_headers={"SCHILY.acl.access": text}))
        writer.addfile(member("etc/passwd", size=len(passwd)), io.BytesIO(passwd))
    (tmp_path / "a.tar").write_bytes(archive.getvalue())
    [(name, value)] = entries(tmp_path / "a.tar", tmp_path)[b"f"].xattrs
    assert name == b"system.posix_acl_access"
    assert acl_text(value) == b"user::rw-\nuser:1000:r--\ngroup::r--\nmask::rw-\nother::---\n"


def test_an_acl_for_nobody_known_is_left_out(tmp_path: Path) -> None:
    text = "user::rw-\nuser:me:r--\ngroup::r--\nmask::rw-\nother::---\n"
    (tmp_path / "a.tar").write_bytes(tar(member("f", pax_headers={"SCHILY.acl.access": text})))
    with tar_source(tmp_path / "a.tar", tmp_path, lambda *_: None) as source:
        assert source.warnings == ["left out the ACL of 'f': the archive knows no 'me'"]
