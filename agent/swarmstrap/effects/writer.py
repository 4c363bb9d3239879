# SPDX-License-Identifier: GPL-2.0-or-later
"""One writer process: takes requests from a socket, one at a time, and does them to the target.

A message is its length (4 bytes, little-endian) and MessagePack. Every request gets one `Reply`.
"""

import ctypes
import hashlib
import os
import socket
from pathlib import Path
from typing import Literal, assert_never

import msgspec

from swarmstrap.effects.entries import Target
from swarmstrap.effects.zstd import NotYetReadable, decompress
from swarmstrap.errors import StepFailed, SwarmstrapError, Untrusted
from swarmstrap.index import Entry, Segment, shown

LENGTH_BYTES = 4
_OWNERLESS = frozenset({"vfat", "msdos", "exfat"})


class Open(msgspec.Struct, frozen=True, tag=True):
    """Comes first, once."""

    root: bytes
    payload: bytes


class Make(msgspec.Struct, frozen=True, tag=True):
    """Entries without data, and hard links."""

    entries: tuple[Entry, ...]


class Reserve(msgspec.Struct, frozen=True, tag=True):
    """Files whose data come from several frames."""

    entries: tuple[Entry, ...]


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


Request = Open | Make | Reserve | Seal | WriteFrame | Sync


class Reply(msgspec.Struct, frozen=True):
    result: Literal["done", "not-yet", "untrusted", "failed"]
    message: str = ""
    hint: str = ""


def serve(connection: socket.socket) -> None:
    """The life of a writer process: until the other end is closed."""
    os.umask(0)
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


class _Hands:
    """Opened once, by the first request."""

    def __init__(self) -> None:
        self._target: Target | None = None
        self._payload = -1
        self._root = b""

    def do(self, request: Request) -> None:
        if isinstance(request, Open):
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
            self._root = request.root
            self._target = Target(Path(os.fsdecode(request.root)), ownerless_devices(mounts))
            self._payload = os.open(request.payload, os.O_RDONLY | os.O_CLOEXEC)
            return
        if self._target is None:
            raise StepFailed("a writer was asked to write before it was given a target")
        target = self._target
        match request:
            case Make():
                for entry in request.entries:
                    target.make(entry)
            case Reserve():
                for entry in request.entries:
                    target.reserve(entry)
            case Seal():
                for entry in request.entries:
                    target.seal(entry)
            case WriteFrame():
                self._write(target, request)
            case Sync():
                _sync(self._root)
            case _:
                assert_never(request)

    def _write(self, target: Target, frame: WriteFrame) -> None:
        compressed = os.pread(self._payload, frame.length, frame.offset)
        if hashlib.sha256(compressed).digest() != frame.sha256:
            raise NotYetReadable(f"frame {frame.number} does not have its digest (yet)")
        data = memoryview(decompress(compressed, frame.unpacked))
        for piece in frame.pieces:
            if piece.whole:
                target.write(piece.entry, piece.segments, data)
            else:
                target.write_part(piece.entry, piece.segments, data)


def ownerless_devices(mountinfo: str) -> frozenset[int]:
    """Device numbers of mounted filesystems that know no owners, from /proc/self/mountinfo."""
    devices = set()
    for line in mountinfo.splitlines():
        mounted, _, filesystem = line.partition(" - ")
        if filesystem.partition(" ")[0] in _OWNERLESS:
            major, _, minor = mounted.split()[2].partition(":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)


def _sync(root: bytes) -> None:
    # sync() reaches the filesystems mounted below the root too; only syncfs() tells of errors.
    os.sync()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            reason = os.strerror(ctypes.get_errno())
            raise StepFailed(
                f"cannot sync {shown(root)}: {reason}",
                hint="the disk lost what was written to it: see the kernel log, replace it",
            )
    finally:
        os.close(descriptor)


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
