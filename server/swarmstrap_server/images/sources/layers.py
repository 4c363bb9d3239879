# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers of a container image as one tree. Every layer is checked against its digests."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from swarmstrap.index import ROOT
from swarmstrap_server.images.looking import inside
from swarmstrap_server.images.source import CaptureFailed, Data, Report, Source, joined
from swarmstrap_server.images.sources import spool, tar
from swarmstrap_server.images.sources.container import Layer, read_layers
from swarmstrap_server.images.sources.kept import Store
from swarmstrap_server.images.sources.pages import printable
from swarmstrap_server.images.sources.tree import Tree

# OCI image specification, "Whiteouts": `.wh.x` hides x of the layers below, this all in its place.
_HIDES = b".wh."
_HIDES_ALL = b".wh..wh..opq"
# Notes of a filesystem that some layers were made on, in the root.
_RESERVED = b".wh..wh."
_MAGIC_BYTES = 16
_CHUNK = 1 << 20


@contextmanager
def container_source(
    outer: Source, folder: Path, report: Report, *, platform: str = "", tag: str = ""
) -> Iterator[Tree]:
    """The root filesystem of the container image in `outer`, unpacked to nameless files."""
    layers = read_layers(outer, platform=platform, tag=tag)
    tree = Tree(outer.name)
    with ExitStack() as stack:
        for number, layer in enumerate(layers, 1):
            name = f"{outer.name}, layer {number} of {len(layers)}"
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            _unpack(outer, layer, file, name, folder, report)
            _apply(tree, list(tar.members(Store(file.fileno()), name)))
        yield tree


def _apply(tree: Tree, found: list[tar.Member]) -> None:
    """A layer hides what is in those below it, wherever in the layer it says so."""
    tree.new_layer()
    kept = []
    for member in found:
        directory, _, name = member.entry.path.rpartition(b"/")
        directory = directory or ROOT
        if name == _HIDES_ALL:
            tree.hide_below(directory)
        elif name.startswith(_HIDES) and not name.startswith(_RESERVED):
            tree.hide(joined(directory, name.removeprefix(_HIDES)))
        elif not member.entry.path.startswith(_RESERVED):
            kept.append(member)
    tar.fill(tree, kept)


def _unpack(
    outer: Source, layer: Layer, file: BinaryIO, name: str, folder: Path, report: Report
) -> None:
    entry = inside(outer, layer.path)
    path = printable(layer.path)
    if entry is None or entry.kind != "f":
        raise _wrong(name, f"{path} is missing")
    unpacked = hashlib.sha256()

    def hashed(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            unpacked.update(chunk)
            yield chunk

    with outer.open(entry) as data:
        packed = _Packed(data)
        kind = spool.compression(data.pread(_MAGIC_BYTES, 0))
        chunks = spool.unpack(cast("BinaryIO", io.BufferedReader(packed, _CHUNK)), kind, name)
        limit = spool.most_unpacked(entry.size, folder)
        spool.write(hashed(chunks), file, limit, name, lambda done: report(name, done, None))
        packed.rest()
    if layer.size not in (None, packed.size) or layer.sha256 not in ("", packed.digest.hexdigest()):
        raise _wrong(name, f"{path} does not have its sha256 and size")
    if unpacked.hexdigest() != layer.unpacked_sha256:
        raise _wrong(name, f"what {path} unpacks to does not have its sha256")


class _Packed(io.RawIOBase):
    """A file of the archive from its begin to its end, hashed on the way."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.size = 0
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._data.pread(len(buffer), self.size)
        buffer[: len(chunk)] = chunk
        self.digest.update(chunk)
        self.size += len(chunk)
        return len(chunk)

    def rest(self) -> None:
        """What comes after the end of the compressed data is hashed too."""
        while self.read(_CHUNK):
            pass


def _wrong(name: str, reason: str) -> CaptureFailed:
    return CaptureFailed(f"{name}: {reason}", hint="it is damaged or was changed: get it again")
