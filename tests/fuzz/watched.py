# SPDX-License-Identifier: GPL-2.0-or-later
"""A target among other things that nobody may touch, and a small image to be spoiled."""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import zstandard
from tests.comparing import Description, compare, describe

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.errors import SwarmstrapError
from swarmstrap.index import FORMAT, Entry, Frame, Index, Member, Segment, digest, encode
from swarmstrap.manifest import FORMAT as MANIFEST_FORMAT
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, Facts, File, Manifest

SECOND = 10**9
_UNEXPECTED = re.compile(r"\n|^\w+(Error|Exception|Warning): ")
_CONTENTS = (b"file" * 100, b"".join(b"%07d\n" % number for number in range(1000)))


def small_image() -> tuple[Index, bytes]:
    """An index with something of every kind, and its payload of three frames."""
    entries = (
        Entry(b".", "d", 0o755, 0, 0, 7 * SECOND),
        Entry(b"d", "d", 0o2755, 1, 2, 7 * SECOND, xattrs=((b"user.note", b"d"),)),
        Entry(b"d/empty", "f", 0o600, 0, 0, -SECOND),
        Entry(b"d/file", "f", 0o4755, 0, 0, 7, 400, xattrs=((b"trusted.t", b"x" * 50),)),
        Entry(b"d/sub", "d", 0o700, 0, 0, 0),
        Entry(b"d/sub/fifo", "p", 0o644, 5, 5, 0),
        Entry(b"d/sub/null", "c", 0o666, 0, 0, 0, device=(1, 3)),
        Entry(b"hard", "h", 0o755, 0, 0, 0, target=b"d/file"),
        Entry(b"link", "l", 0o777, 0, 0, 0, target=b"../outside"),
        Entry(b"link2", "l", 0o777, 9, 9, 0, target=b"/etc/passwd"),
        Entry(b"sparse", "f", 0o644, 0, 0, 0, 1 << 30),
        Entry(b"split", "f", 0o644, 0, 0, 0, 20_000),
    )
    file, split = _CONTENTS
    half = len(split) // 2
    parts = (
        (b"\0" * 512 + file, _member(3, True, file, Segment(0, 512, 400))),
        (split[:half], _member(11, False, split[:half], Segment(0, 0, half))),
        (split[half:], _member(11, False, split[half:], Segment(half + 9000, 0, half))),
    )
    frames: list[Frame] = []
    payload = b""
    for raw, member in parts:
        packed = zstandard.compress(raw)
        sha = sha256(packed).digest()
        frames.append(Frame(len(payload), len(packed), len(raw), sha, (member,)))
        payload += packed
    return Index(FORMAT, entries, tuple(frames)), payload


def _member(entry: int, whole: bool, data: bytes, segment: Segment) -> Member:
    return Member(entry, whole, (segment,), digest([data]))


def believing(index: Index, index_file: bytes) -> Manifest:
    """The manifest of a publisher who signs whatever `index` says."""
    members = (member for frame in index.frames for member in frame.members)
    return Manifest(
        format=MANIFEST_FORMAT,
        name="fuzzed",
        version="1",
        kind="tree",
        architecture="x86_64",
        created="2026-11-22T00:00:00Z",
        entries=len(index.entries),
        unpacked=sum(segment.length for member in members for segment in member.segments),
        index=File(len(index_file), sha256(index_file).hexdigest()),
        payload=File(sum(frame.length for frame in index.frames), "0" * 64),
        infohash="0" * 64,
        facts=Facts(),
    )


class Watched:
    """`folder`/target is for an image; everything else of `folder` must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "target"
        self._outside = folder / "outside"
        self._outside.mkdir()
        (self._outside / "secret").write_text("secret")
        (self._outside / "etc").mkdir()
        self._staged = folder / "staged"
        self._staged.mkdir()
        self._writers = Writers.start(1)

    def apply(self, index: Index, payload: bytes) -> None:
        """What a node does with an image whose manifest it trusts; raises SwarmstrapError."""
        packed = zstandard.compress(encode(index))
        self.apply_file(packed, believing(index, packed), payload)

    def apply_file(self, index_file: bytes, manifest: Manifest, payload: bytes) -> None:
        (self._staged / INDEX_FILE).write_bytes(index_file)
        (self._staged / PAYLOAD_FILE).write_bytes(payload)
        with self.watching():
            asyncio.run(self._apply(manifest))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Nothing but the new target changes, and no error needs a second line."""
        subprocess.run(["rm", "-rf", "--", self.target], check=True)
        self.target.mkdir()
        before = self._surroundings()
        try:
            yield
        except SwarmstrapError as error:
            # A writer names what it did not expect by its type.
            if _UNEXPECTED.search(str(error)):
                raise AssertionError("no error for people") from error
            raise
        finally:
            assert compare(before, self._surroundings()) == []

    def stop(self) -> None:
        asyncio.run(self._writers.stop())

    async def _apply(self, manifest: Manifest) -> None:
        index = load_index(self._staged / INDEX_FILE, manifest)
        await self._writers.open(Tree(os.fsencode(self.target)), self._staged / PAYLOAD_FILE, index)
        try:
            await self._writers.skeleton()
            for number in reversed(range(len(index.frames))):
                await self._writers.write(number)
            await self._writers.finish()
        finally:
            await self._writers.rest()

    def _surroundings(self) -> Description:
        everything = describe(self.folder).items()
        return {key: value for key, value in everything if not key[0].startswith("b'/target")}
