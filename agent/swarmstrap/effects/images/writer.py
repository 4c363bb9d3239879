# SPDX-License-Identifier: GPL-2.0-or-later
"""One writer process: takes requests from a socket, one at a time, and does them to the target.

A message is its length (4 bytes, little-endian) and MessagePack. Every request gets one `Reply`.
"""

import gc
import hashlib
import os
import socket
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, Protocol, assert_never

import msgspec

from swarmstrap.effects.disks.device import DiskTarget
from swarmstrap.effects.disks.mounts import read_mounts
from swarmstrap.effects.images.entries import Target
from swarmstrap.effects.images.replacing import Replacing
from swarmstrap.effects.images.zstd import NotYetReadable, decompress
from swarmstrap.errors import StepFailed, SwarmstrapError, Untrusted
from swarmstrap.index import Entry, Segment
from swarmstrap.mountinfo import Mount

LENGTH_BYTES = 4
_OWNERLESS = frozenset({"vfat", "msdos", "exfat"})
# Those that write in place; on btrfs what is allocated before it is written is never compressed.
_ALLOCATING = frozenset({"ext4", "xfs"})


class Tree(msgspec.Struct, frozen=True, tag=True):
    """A directory, with whatever is mounted in it: entries become files, new ones."""

    root: bytes


class Existing(msgspec.Struct, frozen=True, tag=True):
    """The same with entries in it: those that are written take the place of what is there."""

    root: bytes


class Disk(msgspec.Struct, frozen=True, tag=True):
    """The device node of a disk: the one file of a disk image becomes all of it."""

    node: str


Place = Tree | Existing | Disk


class Open(msgspec.Struct, frozen=True, tag=True):
    """Comes first, once. The file `payload` need not exist before the first frame."""

    place: Place
    payload: bytes


class Make(msgspec.Struct, frozen=True, tag=True):
    """Entries without data, and hard links."""

    entries: tuple[Entry, ...]


class Room(msgspec.Struct, frozen=True, array_like=True):
    """A file whose data come from several frames; (offset, length) of what is no hole."""

    entry: Entry
    data: tuple[tuple[int, int], ...]


class Reserve(msgspec.Struct, frozen=True, tag=True):
    files: tuple[Room, ...]


class Seal(msgspec.Struct, frozen=True, tag=True):
    """Directories, and files that were reserved: final metadata."""

    entries: tuple[Entry, ...]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    entry: Entry
    whole: bool
    segments: tuple[Segment, ...]


class WriteFrame(msgspec.Struct, frozen=True, tag=True):
    number: int
    offset: int
    length: int
    unpacked: int
    sha256: bytes
    pieces: tuple[Piece, ...]


class Sync(msgspec.Struct, frozen=True, tag=True):
    """Everything written reaches the disk."""


Batch = Make | Reserve | Seal
Request = Open | Make | Reserve | Seal | WriteFrame | Sync


class Reply(msgspec.Struct, frozen=True):
    result: Literal["done", "not-yet", "untrusted", "failed"]
    message: str = ""
    hint: str = ""


def serve(connection: socket.socket) -> None:
    """The life of a writer process: until the other end is closed."""
    os.umask(0)
    # Requests are trees: to look for cycles among their parts took longer than to decode them.
    gc.disable()
    requests = msgspec.msgpack.Decoder(Request)
    hands = _Hands()
    while (data := _receive(connection)) is not None:
        reply = msgspec.msgpack.encode(_answer(hands, requests.decode(data)))
        connection.sendall(len(reply).to_bytes(LENGTH_BYTES, "little") + reply)


def _answer(hands: "_Hands", request: Request) -> Reply:
    try:
        hands.do(request)
    except NotYetReadable as error:
        return Reply("not-yet", error.message, error.hint)
    except Untrusted as error:
        return Reply("untrusted", error.message, error.hint)
    except SwarmstrapError as error:
        return Reply("failed", error.message, error.hint)
    except Exception as error:
        # Nothing but a reply leaves this process.
        return Reply("failed", f"{type(error).__name__}: {error}")
    return Reply("done")


class _Target(Protocol):
    def make(self, entry: Entry) -> None: ...
    def reserve(self, entry: Entry, data: tuple[tuple[int, int], ...]) -> None: ...
    def write(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None: ...
    def write_part(self, entry: Entry, segments: tuple[Segment, ...], data: memoryview) -> None: ...
    def seal(self, entry: Entry) -> None: ...
    def sync(self) -> None: ...


class _Hands:
    """Opened once, by the first request."""

    def __init__(self) -> None:
        self._target: _Target | None = None
        self._payload = b""
        self._payload_file = -1

    def do(self, request: Request) -> None:
        if isinstance(request, Open):
            self._target = _target(request.place)
            self._payload = request.payload
            return
        if self._target is None:
            raise StepFailed("a writer was asked to write before it was given a target")
        target = self._target
        match request:
            case Make():
                for entry in request.entries:
                    target.make(entry)
            case Reserve():
                for room in request.files:
                    target.reserve(room.entry, room.data)
            case Seal():
                for entry in request.entries:
                    target.seal(entry)
            case WriteFrame():
                self._write(target, request)
            case Sync():
                target.sync()
            case _:
                assert_never(request)

    def _write(self, target: _Target, frame: WriteFrame) -> None:
        compressed = self._read(frame.offset, frame.length)
        if hashlib.sha256(compressed).digest() != frame.sha256:
            raise NotYetReadable(f"frame {frame.number} does not have its digest (yet)")
        data = memoryview(decompress(compressed, frame.unpacked))
        for piece in frame.pieces:
            if piece.whole:
                target.write(piece.entry, piece.segments, data)
            else:
                target.write_part(piece.entry, piece.segments, data)

    def _read(self, offset: int, length: int) -> bytes:
        if self._payload_file < 0:
            try:
                self._payload_file = os.open(self._payload, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise NotYetReadable("the payload is not there (yet)") from None
        return os.pread(self._payload_file, length, offset)


def _target(place: Place) -> "_Target":
    match place:
        case Tree():
            mounts = read_mounts()
            allocating = devices_of(mounts, _ALLOCATING)
            return Target(Path(os.fsdecode(place.root)), ownerless_devices(mounts), allocating)
        case Existing():
            return Replacing(Path(os.fsdecode(place.root)), ownerless_devices(read_mounts()))
        case Disk():
            return DiskTarget(place.node)
        case _:
            assert_never(place)


def ownerless_devices(mounts: Iterable[Mount]) -> frozenset[int]:
    """Device numbers (st_dev) of mounted filesystems that know no owners."""
    return devices_of(mounts, _OWNERLESS)


def devices_of(mounts: Iterable[Mount], filesystems: Collection[str]) -> frozenset[int]:
    """Device numbers (st_dev) of what is mounted with one of these filesystems."""
    return frozenset(os.makedev(*m.device) for m in mounts if m.filesystem in filesystems)


def _receive(connection: socket.socket) -> bytearray | None:
    head = _exactly(connection, LENGTH_BYTES)
    return None if head is None else _exactly(connection, int.from_bytes(head, "little"))


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    """None when the other end was closed."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return data
