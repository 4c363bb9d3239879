# SPDX-License-Identifier: GPL-2.0-or-later
"""Tar headers as bytes: POSIX.1-2001 (pax), with the records that GNU tar and star add for
attributes, ACLs and sparse files. Pure; the caller adds the data and the padding.
"""

from collections.abc import Iterator

from swarmstrap.extents import Extents, total
from swarmstrap.index import Entry
from swarmstrap_server.images.attributes import ACL_RECORDS, acl_text

BLOCK = 512
# Two blocks of zeros end an archive.
TRAILER = bytes(2 * BLOCK)

_TYPES = {"f": b"0", "h": b"1", "l": b"2", "c": b"3", "b": b"4", "d": b"5", "p": b"6"}
_NAME_BYTES = 100
_MAX_ID = 0o7777777
_MAX_NUMBER = 0o77777777777
_SECOND = 10**9


def header(entry: Entry, extents: Extents = ()) -> bytes:
    """Everything that comes before the data of `entry`; `extents` are the parts that are no holes.

    A sparse file (its extents are not all of it) becomes GNU's format 1.0: its map is the first
    part of its data, and is included here.
    """
    records = list(_attribute_records(entry))
    name = entry.path + b"/" if entry.kind == "d" else entry.path
    size = total(extents)
    sparse_map = b""
    if size < entry.size:
        sparse_map = _sparse_map(entry.size, extents)
        size += len(sparse_map)
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % entry.size),
        ]
        # What a program that knows no sparse files would extract under this name is not the file.
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2][:64]
    if len(name) > _NAME_BYTES:
        records.append((b"path", name))
    if len(entry.target) > _NAME_BYTES:
        records.append((b"linkpath", entry.target))
    seconds, fraction = divmod(entry.mtime, _SECOND)
    if fraction or not 0 <= seconds <= _MAX_NUMBER:
        records.append((b"mtime", _decimal(entry.mtime)))
    if entry.uid > _MAX_ID:
        records.append((b"uid", b"%d" % entry.uid))
    if entry.gid > _MAX_ID:
        records.append((b"gid", b"%d" % entry.gid))
    if size > _MAX_NUMBER:
        records.append((b"size", b"%d" % size))
    block = _ustar(
        name=name,
        mode=entry.mode,
        uid=entry.uid if entry.uid <= _MAX_ID else 0,
        gid=entry.gid if entry.gid <= _MAX_ID else 0,
        size=size if size <= _MAX_NUMBER else 0,
        mtime=min(max(seconds, 0), _MAX_NUMBER),
        type_=_TYPES[entry.kind],
        target=entry.target,
        device=entry.device,
    )
    return _extended(records) + block + sparse_map


def padding(size: int) -> int:
    """Zero bytes that follow `size` bytes of data."""
    return -size % BLOCK


def _attribute_records(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    for name, value in entry.xattrs:
        if name in ACL_RECORDS:
            yield ACL_RECORDS[name], acl_text(value)
        else:
            # GNU tar's own escapes, since "=" ends a keyword.
            keyword = name.replace(b"%", b"%25").replace(b"=", b"%3D")
            yield b"SCHILY.xattr." + keyword, value


def _sparse_map(size: int, extents: Extents) -> bytes:
    if not extents or sum(extents[-1]) < size:
        extents = (*extents, (size, 0))
    text = b"".join((b"%d\n" % len(extents), *(b"%d\n%d\n" % extent for extent in extents)))
    return text + bytes(padding(len(text)))


def _extended(records: list[tuple[bytes, bytes]]) -> bytes:
    if not records:
        return b""
    if not all(_is_utf8(value) for keyword, value in records if not keyword.startswith(b"SCHILY")):
        # Names are bytes: this tells readers not to convert them.
        records.insert(0, (b"hdrcharset", b"BINARY"))
    data = b"".join(_record(keyword, value) for keyword, value in records)
    block = _ustar(
        name=b"PaxHeaders",
        mode=0o644,
        uid=0,
        gid=0,
        size=len(data),
        mtime=0,
        type_=b"x",
        target=b"",
        device=(0, 0),
    )
    return block + data + bytes(padding(len(data)))


def _record(keyword: bytes, value: bytes) -> bytes:
    """`LENGTH KEYWORD=VALUE\\n`, where the length counts its own digits."""
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length += 1
    return b"%d %s=%s\n" % (length, keyword, value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _SECOND)
    digits = b"%d.%09d" % (seconds, fraction)
    return (b"-" if nanoseconds < 0 else b"") + digits.rstrip(b"0").rstrip(b".")


def _ustar(
    *,
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    type_: bytes,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
        mode,
        uid,
        gid,
        size,
        mtime,
    )
    after = b"%s%sustar\x0000%s%07o\0%07o\0" % (
        type_,
        target[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
        bytes(64),  # user and group names: ids are numbers here
        *device,
    )
    # The checksum counts its own field as blanks.
    checksum = b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" "))
    return (before + checksum + after).ljust(BLOCK, b"\0")
