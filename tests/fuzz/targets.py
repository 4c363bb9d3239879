# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that comes from outside, each as a function of bytes, and what to try on it.

A target raises SwarmstrapError for what it refuses; whatever else it raises is a finding.
"""

import io
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

import libtorrent as lt
import msgspec
import zstandard
from hypothesis import strategies as some
from tests.fuzz.containers import containers, valid_containers
from tests.fuzz.layouts import CURTIN, IGNITION, configurations, importing, sources
from tests.fuzz.mutations import PATHS, Tree, changed, edited
from tests.fuzz.tars import archives, valid_archive
from tests.fuzz.watched import Watched, believing, small_image
from tests.plans.test_plans import HERE, inventory_of, job_of, manifest_of

from swarmstrap.effects.admit import check_files
from swarmstrap.effects.transfer.swarm import load
from swarmstrap.index import FORMAT, Index, decode, encode
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, File, Manifest, parse_manifest
from swarmstrap.plan import make_plan
from swarmstrap.steps.system import WriteFile
from swarmstrap_server.images.compress import FrameWriter
from swarmstrap_server.images.framing import Framer
from swarmstrap_server.images.source import Source
from swarmstrap_server.images.sources.layers import container_source
from swarmstrap_server.images.sources.tar import tar_source
from swarmstrap_server.images.torrents import make_torrent
from swarmstrap_server.images.walk import Walk

INDEX, PAYLOAD = small_image()
PACKED = zstandard.compress(encode(INDEX))


@dataclass(frozen=True, slots=True)
class Target:
    """`run` gets a place to write to; `seeds` are valid; `shapes` makes others like them."""

    run: Callable[[Watched, bytes], None]
    seeds: Sequence[bytes]
    shapes: some.SearchStrategy[bytes] | None = None

    def inputs(self, corpus: Sequence[bytes]) -> some.SearchStrategy[bytes]:
        bent = edited([*self.seeds, *corpus])
        return bent if self.shapes is None else self.shapes | bent


def apply_index(place: Watched, data: bytes) -> None:
    """An index (MessagePack) whose publisher signs whatever it says."""
    place.apply(decode(data), PAYLOAD)


def read_index_file(place: Watched, data: bytes) -> None:
    """The bytes of index.zst, which the manifest names."""
    place.apply_file(data, believing(INDEX, data), PAYLOAD)


def apply_payload(place: Watched, data: bytes) -> None:
    """The bytes of a payload, whose frames the index names."""
    frames = []
    for frame in INDEX.frames:
        last = frame is INDEX.frames[-1]
        piece = data[frame.offset :] if last else data[frame.offset : frame.offset + frame.length]
        frames.append(
            msgspec.structs.replace(frame, length=len(piece), sha256=sha256(piece).digest())
        )
    place.apply(msgspec.structs.replace(INDEX, frames=tuple(frames)), data)


def plan_manifest(place: Watched, data: bytes) -> None:
    """A manifest that is signed: read, planned with, and shown."""
    manifest = parse_manifest(data)
    case = HERE / "bios-virtio"
    with place.watching():
        plan = make_plan(inventory_of(case), job_of(case), manifest)
    for line in (*plan.lines(), manifest.name, manifest.version):
        assert line.isprintable(), line
    for step in plan.steps:
        if isinstance(step, WriteFile):
            assert all(line.isprintable() for line in step.content.splitlines()), step


def load_torrent(place: Watched, data: bytes) -> None:
    """A .torrent whose hash the manifest names."""
    try:
        infohash = str(lt.load_torrent_buffer(data).info_hashes.v2)
    except RuntimeError:
        infohash = "0" * 64
    with place.watching():
        check_files(load(data, infohash), believing(INDEX, PACKED))


def capture_tar(place: Watched, data: bytes) -> None:
    """An archive that an operator was given; what is taken of it is an image like any other."""
    archive = place.folder / "archive"
    archive.write_bytes(data)
    with place.watching(), tar_source(archive, place.target, _quiet) as source:
        index, payload = _captured(source)
    place.apply(index, payload)


def capture_container(place: Watched, data: bytes) -> None:
    """An archive of a container image."""
    archive = place.folder / "archive"
    archive.write_bytes(data)
    with (
        place.watching(),
        tar_source(archive, place.target, _quiet) as files,
        container_source(files, place.target, _quiet) as source,
    ):
        index, payload = _captured(source)
    place.apply(index, payload)


def _quiet(*_: object) -> None:
    pass


def _captured(source: Source) -> tuple[Index, bytes]:
    framer = Framer(Walk(source, ()))
    payload = io.BytesIO()
    with FrameWriter(payload, 1, lambda _: None) as writer:
        for frame in framer:
            writer.put(frame)
    return Index(FORMAT, tuple(framer.entries), tuple(writer.frames)), payload.getvalue()


def _manifest() -> Manifest:
    sha = "0123456789abcdef" * 4
    plain = manifest_of(HERE / "bios-virtio")
    index, payload = (File(file.size, sha) for file in (plain.index, plain.payload))
    return msgspec.structs.replace(plain, index=index, payload=payload)


def _manifests() -> some.SearchStrategy[bytes]:
    words = [path.decode("latin-1") for path in PATHS]
    words += ["", "a'b", "x\ny", "²", "any", "disk", "${net0/mac}", '"', "\u202e", "ß" * 70]
    tree: Tree = msgspec.to_builtins(_manifest())
    return changed(tree, words).map(lambda value: json.dumps(value).encode())


def _indexes() -> some.SearchStrategy[bytes]:
    """MessagePack as a publisher would write it."""
    return changed(msgspec.msgpack.decode(encode(INDEX)), PATHS).map(msgspec.msgpack.encode)


def _torrent() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / INDEX_FILE).write_bytes(PACKED)
        (folder / PAYLOAD_FILE).write_bytes(PAYLOAD)
        return make_torrent(folder, "fuzzed-1").data


def _torrents(valid: bytes) -> some.SearchStrategy[bytes]:
    return changed(cast("Tree", lt.bdecode(valid)), PATHS).map(_bencode)


def _bencode(tree: Tree) -> bytes:
    match tree:
        case bool() | int():
            return b"i%de" % tree
        case bytes():
            return b"%d:%s" % (len(tree), tree)
        case list():
            return b"l" + b"".join(map(_bencode, tree)) + b"e"
        case dict():
            return b"d" + b"".join(map(_bencode, itertools.chain(*tree.items()))) + b"e"
        case _:
            raise ValueError(f"no bencoding of {tree!r}")


def targets() -> dict[str, Target]:
    manifest = msgspec.json.encode(_manifest())
    torrent = _torrent()
    return {
        "index": Target(apply_index, (encode(INDEX),), _indexes()),
        "index-file": Target(read_index_file, (PACKED,)),
        "payload": Target(apply_payload, (PAYLOAD,)),
        "manifest": Target(plan_manifest, (manifest,), _manifests()),
        "tar": Target(capture_tar, (valid_archive(),), archives()),
        "container": Target(capture_container, valid_containers(), containers()),
        "torrent": Target(load_torrent, (torrent,), _torrents(torrent)),
        "curtin": Target(importing("curtin"), sources(CURTIN), configurations(CURTIN)),
        "ignition": Target(importing("ignition"), sources(IGNITION), configurations(IGNITION)),
        "repart": Target(importing("repart"), sources("repart-*/source/*.conf")),
    }
