# SPDX-License-Identifier: GPL-2.0-or-later
"""From a source to a signed image: captured beside its place, then moved there whole."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.index import FORMAT as INDEX_FORMAT
from swarmstrap.index import Frame, Index, check, encode, shown
from swarmstrap.manifest import (
    FORMAT,
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    File,
    Manifest,
    parse_manifest,
)
from swarmstrap_server.images.compress import (
    INDEX_LEVEL,
    LEVELS,
    LIBRARY,
    FrameWriter,
    compress,
)
from swarmstrap_server.images.facts import About, about_tree
from swarmstrap_server.images.framing import Framer, RawFrame
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.names import check_name
from swarmstrap_server.images.secrets import Secrets
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed, Source
from swarmstrap_server.images.strip import RULES, Rule
from swarmstrap_server.images.tarstream import TRAILER
from swarmstrap_server.images.torrents import make_torrent, torrent_name
from swarmstrap_server.images.walk import Walk
from swarmstrap_server.images.workspace import install, workspace

_MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """So far: entries and bytes of data read, compressed bytes written; about `total` to read."""

    entries: int
    read: int
    written: int
    total: int


# The times of inodes of 256 bytes, in nanoseconds: a signed 32 bits of seconds, and two bits more.
_EXT4_BEGIN, _EXT4_END = -(2**31) * 10**9, (2**34 - 2**31) * 10**9


@dataclass(frozen=True, slots=True)
class Published:
    manifest: Manifest
    directory: Path
    seconds: float


def publish(
    source: Source,
    name: str,
    version: str | None,
    store: ImageStore,
    signer: Key,
    *,
    level: int = 9,
    progress: Callable[[Progress], None] | None = None,
    strip: tuple[Rule, ...] = RULES,
    about: About | None = None,
) -> Published:
    """Capture `source` as image `name`, and sign it. Without a version it is today's next; what is
    not said `about` the source is read from it, as the root of a system.

    Raises BadInput for names, a version that exists and a source that is no system, CaptureFailed
    when the source cannot be read. An interruption leaves the store as it was.
    """
    started = time.monotonic()
    created = _now()
    _check(source, name, store, level)
    version = version or store.next_version(name, f"{created:%Y-%m-%d}")
    place = store.vacant(name, version)
    about = about or about_tree(source)
    walk = Walk(source, strip)
    with workspace(place) as work:
        secrets = Secrets()
        framer = Framer(walk, secrets.look)
        payload, frames = _write_payload(framer, walk, work / PAYLOAD_FILE, level, progress)
        content = Index(INDEX_FORMAT, tuple(framer.entries), frames)
        index = _write_index(work / INDEX_FILE, content)
        torrent = make_torrent(work, torrent_name(name, version))
        manifest = Manifest(
            format=FORMAT,
            name=name,
            version=version,
            kind=about.kind,
            architecture=about.architecture,
            created=f"{created:%Y-%m-%dT%H:%M:%SZ}",
            entries=len(framer.entries),
            unpacked=framer.data_bytes,
            index=index,
            payload=payload,
            infohash=torrent.infohash,
            facts=about.facts,
            disk=about.disk,
            compression=f"{LIBRARY}, level {level}",
            stripped=walk.strip.summary(),
            left_out=_some(walk.left_out),
            warnings=_some(
                [*source.warnings, *framer.warnings, *secrets.warnings, *_doubts(framer, about)]
            ),
        )
        (work / TORRENT_FILE).write_bytes(torrent.data)
        _write_manifest(work, manifest, content, signer)
        install(work, place)
    return Published(manifest, place, time.monotonic() - started)


def _check(source: Source, name: str, store: ImageStore, level: int) -> None:
    check_name(name, "an image")
    if level not in LEVELS:
        raise BadInput(f"no compression level: {level}", hint=f"{LEVELS[0]} to {LEVELS[-1]}")
    if source.reaches(store.root):
        raise BadInput(
            f"{store.root} is inside {source.name}: the image would contain the images",
            hint="capture from outside, or keep the site on a filesystem of its own",
        )


def _write_manifest(work: Path, manifest: Manifest, content: Index, signer: Key) -> None:
    data = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
    check(content, parse_manifest(data))  # nothing is signed that a node would refuse
    (work / MANIFEST_FILE).write_bytes(data)
    (work / SIGNATURE_FILE).write_bytes(signer.sign(data, SIGNATURE_NAMESPACE))


def _write_payload(
    framer: Framer,
    walk: Walk,
    path: Path,
    level: int,
    progress: Callable[[Progress], None] | None,
) -> tuple[File, tuple[Frame, ...]]:
    total = Walk(walk.source, walk.rules).weigh() if progress else 0

    def written(frame: Frame) -> None:
        if progress:
            done = frame.offset + frame.length
            progress(Progress(len(framer.entries), framer.data_bytes, done, total))

    with path.open("xb") as file:
        try:
            with FrameWriter(file, level, written) as writer:
                for frame in framer:
                    writer.put(frame)
                writer.put(RawFrame(bytearray(TRAILER)))
        except OSError as error:
            what = os.fsdecode(error.filename) if error.filename else path
            raise CaptureFailed(
                f"cannot capture {what}: {error.strerror}",
                hint="capture as root, to a disk with room for the image",
            ) from error
    return File(writer.size, writer.sha256), tuple(writer.frames)


def _write_index(path: Path, index: Index) -> File:
    data = compress(encode(index), INDEX_LEVEL)
    path.write_bytes(data)
    return File(len(data), sha256(data).hexdigest())


def _some(lines: list[str]) -> tuple[str, ...]:
    """A manifest is a page, however many sockets a tree has."""
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], f"and {more} more") if more > 0 else tuple(lines)


def _doubts(framer: Framer, about: About) -> Iterator[str]:
    if about.kind == "disk":
        return
    if not about.facts.kernels:
        yield "there is no kernel in boot/: the image cannot boot by itself"
    root = framer.entries[0]
    if root.mode & 0o555 != 0o555:
        yield f"the root directory has mode {root.mode:04o}: only root will get in"
    far = [entry for entry in framer.entries if not _EXT4_BEGIN <= entry.mtime < _EXT4_END]
    if far:
        yield (
            f"times before 1901 or after 2446, of which ext4 takes the nearest that it has: "
            f"{len(far)}, the first is that of {shown(far[0].path)}"
        )


def _now() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
