# SPDX-License-Identifier: GPL-2.0-or-later
"""What an index must not say: each of these is refused in one line, before anything is made."""

from collections.abc import Callable

import msgspec
import pytest

from swarmstrap.errors import Untrusted
from swarmstrap.index import (
    FORMAT,
    MAX_FRAME,
    Entry,
    Frame,
    Index,
    Kind,
    Member,
    Segment,
    check,
    decode,
    encode,
    shown,
)
from swarmstrap.manifest import Facts, File, Manifest


def entry(path: bytes, kind: Kind = "f", *, size: int = 0, target: bytes = b"") -> Entry:
    return Entry(path, kind, 0o755, 0, 0, 0, size, target)


def frame(offset: int, *members: Member, unpacked: int = 1000) -> Frame:
    return Frame(offset, 100, unpacked, bytes(32), members)


def whole(number: int, *segments: tuple[int, int, int]) -> Member:
    return Member(number, True, tuple(Segment(*segment) for segment in segments), bytes(16))


def part(number: int, *segments: tuple[int, int, int]) -> Member:
    return Member(number, False, tuple(Segment(*segment) for segment in segments), bytes(16))


ENTRIES = (
    entry(b".", "d"),
    entry(b"d", "d"),
    entry(b"d/file", size=10),
    entry(b"d/split", size=30),
    entry(b"link", "l", target=b"../../anywhere"),
    entry(b"name", "h", target=b"d/file"),
)
FRAMES = (
    frame(0, whole(2, (0, 512, 10)), part(3, (0, 600, 10))),
    frame(100, part(3, (15, 0, 5), (25, 5, 5))),
)
GOOD = Index(FORMAT, ENTRIES, FRAMES)


def manifest(index: Index, *, unpacked: int = 30, payload: int = 200) -> Manifest:
    digest = "0" * 64
    return Manifest(
        format=2,
        name="n",
        version="1",
        kind="tree",
        architecture="x86_64",
        created="",
        entries=len(index.entries),
        unpacked=unpacked,
        index=File(1, digest),
        payload=File(payload, digest),
        infohash=digest,
        facts=Facts(),
    )


def test_a_good_index_survives_the_wire_and_the_check() -> None:
    index = decode(encode(GOOD))
    assert index == GOOD
    check(index, manifest(index))


def test_a_path_may_be_as_long_as_linux_lets_it() -> None:
    longest = entry(deep(15)[-1].path + b"/" + b"n" * 255)
    index = adding(*deep(15), longest)(GOOD)
    assert len(longest.path) == 4095
    check(index, manifest(index))


def adding(*entries: Entry) -> Callable[[Index], Index]:
    return lambda index: Index(FORMAT, (*index.entries, *entries), index.frames)


def changing(number: int, **values: object) -> Callable[[Index], Index]:
    def change(index: Index) -> Index:
        changed = list(index.entries)
        changed[number] = msgspec.structs.replace(changed[number], **values)
        return Index(FORMAT, tuple(changed), index.frames)

    return change


def framing(*frames: Frame) -> Callable[[Index], Index]:
    return lambda index: Index(FORMAT, index.entries, frames)


def deep(depth: int) -> list[Entry]:
    """So many directories, one in another, whose names are as long as they may be."""
    return [entry(b"/".join([b"n" * 255] * level), "d") for level in range(1, depth + 1)]


BELOW = "is not a path below the image root"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (adding(entry(b"/etc/passwd")), f"'/etc/passwd' {BELOW}"),
        (adding(entry(b"..")), f"'..' {BELOW}"),
        (adding(entry(b"d/../../x")), f"'d/../../x' {BELOW}"),
        (adding(entry(b"d/./x")), BELOW),
        (adding(entry(b"d//x")), BELOW),
        (adding(entry(b"d/")), BELOW),
        (adding(entry(b"d/..")), BELOW),
        (adding(entry(b"./x")), BELOW),
        (adding(entry(b"d/a\0b")), "is not a path"),
        (adding(entry(b"d/" + b"n" * 256)), BELOW),
        (adding(*deep(17)), "is not a path"),
        (adding(entry(b".swarmstrap-staging/x")), "is where a node stages images"),
        (adding(entry(b".")), "comes twice"),
        (adding(entry(b"")), "is not a path"),
        (adding(entry(b"a\0b")), "is not a path"),
        (adding(entry(b"n" * 256)), BELOW),
        (adding(entry(b"d/" * 2500 + b"x")), "is not a path"),
        (adding(entry(b".swarmstrap-staging", "d")), "is where a node stages images"),
        (adding(entry(b"d/file")), "comes twice"),
        (adding(entry(b"link/through")), "has a parent that is no earlier directory"),
        (adding(entry(b"d/file/x")), "has a parent that is no earlier directory"),
        (adding(entry(b"later/x"), entry(b"later", "d")), "no earlier directory"),
        (adding(entry(b"h", "h", target=b"missing")), "nothing earlier to link to"),
        (adding(entry(b"h", "h", target=b"d")), "nothing earlier to link to"),
        (adding(entry(b"h", "h", target=b"name")), "nothing earlier to link to"),
        (adding(entry(b"h", "h", target=b"../etc/shadow")), "nothing earlier to link to"),
        (adding(entry(b"l", "l")), "is a symbolic link to nothing"),
        (adding(entry(b"l", "l", target=b"a\0b")), "has a target it cannot have"),
        (adding(entry(b"f", target=b"x")), "has a target it cannot have"),
        (adding(entry(b"p", "p", size=5)), "has size 5"),
        (changing(2, mode=0o10000), "has mode 10000"),
        (changing(2, uid=-1), "has owner -1:0"),
        (changing(2, gid=2**32 - 1), "has owner 0:4294967295"),
        (changing(2, size=-1), "has size -1"),
        (changing(2, mtime=-(2**70)), "has a time out of range"),
        (changing(2, device=(1, -1)), "has device number"),
        (changing(2, device=(4096, 0)), "has device number"),
        (changing(2, device=(0, 2**20)), "has device number"),
        (changing(2, xattrs=((b"", b""),)), "has an extended attribute without a proper name"),
        (changing(0, path=b"root"), "does not begin with the root"),
        (changing(0, kind="f"), "does not begin with the root"),
        (framing(frame(1)), "frame 0 does not begin where"),
        (framing(frame(0), frame(150)), "frame 1 does not begin where"),
        (framing(frame(0)), "its frames have 100 bytes, the payload 200"),
        (framing(frame(0), frame(100, unpacked=MAX_FRAME + 1)), "frame 1 unpacks to"),
        (framing(Frame(0, MAX_FRAME * 2, 1, bytes(32), ())), "frame 0 has 134217728 bytes"),
        (framing(Frame(0, 100, 1, b"", ()), frame(100)), "frame 0 has no sha256"),
        (framing(frame(0), frame(100)), "its files have 0 bytes of data, the manifest 30"),
        (framing(frame(0, whole(99, (0, 0, 1))), frame(100)), "entry 99, which does not exist"),
        (framing(frame(0, whole(-1, (0, 0, 1))), frame(100)), "entry -1, which does not exist"),
        (framing(frame(0, whole(4, (0, 0, 1))), frame(100)), "'link' has data it cannot have"),
        (framing(frame(0, whole(2)), frame(100)), "has data it cannot have"),
        (
            framing(frame(0, Member(2, True, (Segment(0, 0, 10),), b"")), frame(100)),
            "'d/file' has data without a digest",
        ),
        (framing(frame(0, whole(2, (0, 995, 6))), frame(100)), "has data outside frame 0"),
        (framing(frame(0, whole(2, (0, -1, 6))), frame(100)), "has data outside frame 0"),
        (framing(frame(0, whole(2, (0, 5, 0))), frame(100)), "has data outside frame 0"),
        (framing(frame(0, whole(2, (5, 0, 6))), frame(100)), "has data outside itself"),
        (framing(frame(0, whole(2, (-1, 0, 6))), frame(100)), "has data outside itself"),
        (framing(frame(0, whole(2, (0, 0, 6), (5, 9, 2))), frame(100)), "data outside itself"),
        (
            framing(frame(0, whole(2, (0, 0, 5))), frame(100, part(2, (5, 0, 5)))),
            "is in several frames, yet whole in one",
        ),
        (
            framing(frame(0, part(2, (0, 0, 5))), frame(100, whole(2, (5, 0, 5)))),
            "is in several frames, yet whole in one",
        ),
    ],
)
def test_refused_in_one_line(spoil: Callable[[Index], Index], reason: str) -> None:
    index = spoil(GOOD)
    with pytest.raises(Untrusted) as caught:
        check(index, manifest(index))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_entry_more_than_the_manifest_says() -> None:
    index = adding(entry(b"x"))(GOOD)
    with pytest.raises(Untrusted, match="it has 7 entries, the manifest 6"):
        check(index, manifest(GOOD))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc1", b"\x93\x01\x90", b"\x80", encode(GOOD)[:-1]),
        encode(GOOD).replace(b"\xa1d", b"\xa1\xff", 1),  # text that is no UTF-8
    ],
)
def test_bytes_that_are_no_index(data: bytes) -> None:
    with pytest.raises(Untrusted, match="the image's index cannot be read"):
        decode(data)


def test_an_index_of_another_format() -> None:
    with pytest.raises(Untrusted, match=f"index has format 9, this agent reads {FORMAT}"):
        decode(encode(Index(9, (), ())))


def test_any_path_is_shown_on_one_line_of_ascii() -> None:
    assert shown(b"a\nb\xff\x1b[31m") == r"'a\nb\xff\x1b[31m'"
