# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of a publisher who means harm, up to the disk: refused in a line, and nothing outside the
target changes. What an index must not say is tabled in test_index.py.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace
from tests.fuzz.watched import Watched, believing, small_image

from swarmstrap.effects.images.zstd import NotYetReadable
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.index import MAX_INDEX, Entry, Index, Segment
from swarmstrap.units import GiB

INDEX, PAYLOAD = small_image()

Spoil = Callable[[Index], Index]


@pytest.fixture(scope="module")
def place() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(Path(folder))
        yield watched
        watched.stop()


def adding(path: bytes, *, target: bytes = b"", kind: str = "f", first: bool = False) -> Spoil:
    entry = Entry(path, kind, 0o644, 0, 0, 0, 0, target)  # type: ignore[arg-type]

    def change(index: Index) -> Index:
        if first:
            return replace(index, entries=(index.entries[0], entry, *index.entries[1:]))
        return replace(index, entries=(*index.entries, entry))

    return change


def data(number: int, **values: int) -> Spoil:
    """Another segment for the only member of a frame."""

    def change(index: Index) -> Index:
        frames = list(index.frames)
        (member,) = frames[number].members
        (segment,) = member.segments
        segments = (replace(segment, **values),)
        frames[number] = replace(frames[number], members=(replace(member, segments=segments),))
        return replace(index, frames=tuple(frames))

    return change


def test_the_image_itself_is_good(place: Watched) -> None:
    place.apply(INDEX, PAYLOAD)
    assert (place.target / "hard").read_bytes() == b"file" * 100


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (adding(b"../outside/new"), "is not a path below the image root"),
        (adding(b"/etc/new"), "is not a path below the image root"),
        (adding(b"d/../../outside/new"), "is not a path below the image root"),
        (adding(b"link/new"), "has a parent that is no earlier directory"),
        (adding(b"d/new", first=True), "has a parent that is no earlier directory"),
        (adding(b"new", kind="h", target=b"../outside/secret"), "nothing earlier to link to"),
        (adding(b"new", kind="h", target=b"link/secret"), "nothing earlier to link to"),
        (adding(b"new", kind="h", target=b"new"), "nothing earlier to link to"),
        (adding(b"new", kind="h", target=b"hard"), "nothing earlier to link to"),
        (adding(b"link", kind="d"), "comes twice"),
        (adding(b"d/file"), "comes twice"),
        (data(0, file_offset=1), "has data outside itself"),
        (data(0, length=401), "has data outside frame 0"),
        (data(0, file_offset=2**62), "has data outside itself"),
        (data(0, frame_offset=513), "has data outside frame 0"),
        (data(0, frame_offset=2**63), "has data outside frame 0"),
        (data(2, file_offset=3999), "has data outside itself"),
        (data(1, length=0), "has data outside frame 1"),
    ],
)
def test_an_index_that_lies_makes_nothing(place: Watched, spoil: Spoil, reason: str) -> None:
    with pytest.raises(Untrusted, match=reason):
        place.apply(spoil(INDEX), PAYLOAD)
    assert os.listdir(place.target) == []


def framed(packed: bytes, unpacked: int) -> tuple[Index, bytes]:
    """The image with another first frame, which the index describes as told."""
    first, second, third = INDEX.frames
    grown = len(packed) - first.length
    frames = (
        replace(first, length=len(packed), unpacked=unpacked, sha256=sha256(packed).digest()),
        replace(second, offset=second.offset + grown),
        replace(third, offset=third.offset + grown),
    )
    return replace(INDEX, frames=frames), packed + PAYLOAD[first.length :]


def endless(size: int, *, told: bool = True) -> bytes:
    """A frame of some kilobytes that unpacks to `size` zeros, and says so or not."""
    packer = zstandard.ZstdCompressor(write_content_size=told).compressobj(size if told else -1)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize(
    ("packed", "unpacked", "reason"),
    [
        (endless(GiB), 912, f"a frame claims {GiB} bytes where 912 are expected"),
        (endless(GiB, told=False), 912, "a frame claims"),
        (endless(GiB), GiB, f"frame 0 unpacks to {GiB} bytes"),
        (zstandard.compress(bytes(912)) * 2, 912, "a frame cannot be decompressed"),
        (zstandard.compress(bytes(912))[:-1], 912, "a frame cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(500), 912, "a frame claims"),
        (b"no frame at all", 912, "a frame cannot be decompressed"),
    ],
    ids=["claims", "claims-nothing", "believed", "two", "cut", "zeros", "none"],
)
def test_a_frame_that_lies(place: Watched, packed: bytes, unpacked: int, reason: str) -> None:
    with pytest.raises(Untrusted, match=reason):
        place.apply(*framed(packed, unpacked))


def test_a_payload_that_ends_early_is_waited_for(place: Watched) -> None:
    with pytest.raises(NotYetReadable, match="frame 2 does not have its digest"):
        place.apply(INDEX, PAYLOAD[:-1])


@pytest.mark.parametrize("told", [True, False])
def test_an_index_file_without_end(place: Watched, told: bool) -> None:
    packed = endless(MAX_INDEX + GiB, told=told)
    with pytest.raises(Untrusted, match=r"index\.zst (claims|is not)"):
        place.apply_file(packed, believing(INDEX, packed), PAYLOAD)
    assert os.listdir(place.target) == []


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "f", "size": 2**63 - 1},
        {"xattrs": ((b"user." + b"n" * 300, b""),)},
        {"xattrs": ((b"user.large", bytes(70_000)),)},
        {"xattrs": ((b"nowhere.name", b""),)},
        {"xattrs": ((b"system.posix_acl_access", b"no list"),)},
        {"xattrs": ((b"security.capability", b"none"),)},
    ],
    ids=["size", "name", "value", "namespace", "acl", "capability"],
)
def test_what_no_filesystem_holds_is_named(place: Watched, values: dict[str, object]) -> None:
    odd = replace(Entry(b"d/odd", "f", 0o644, 0, 0, 0), **values)
    with pytest.raises(StepFailed, match="cannot write 'd/odd'"):
        place.apply(replace(INDEX, entries=(*INDEX.entries, odd)), PAYLOAD)


def test_segments_may_share_what_they_are_made_of(place: Watched) -> None:
    """The same bytes of a frame for many places: no more is written than the manifest says."""
    (member,) = INDEX.frames[0].members
    segments = tuple(Segment(offset, 512, 4) for offset in range(0, 400, 4))
    frame = replace(INDEX.frames[0], members=(replace(member, segments=segments),))
    place.apply(replace(INDEX, frames=(frame, *INDEX.frames[1:])), PAYLOAD)
    assert (place.target / "d/file").read_bytes() == b"file" * 100
