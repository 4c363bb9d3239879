# SPDX-License-Identifier: GPL-2.0-or-later
"""What is decided about a tree that was found, for what no test of real trees has at hand."""

import pytest
from msgspec.structs import replace

from swarmstrap.comparing import FoundTree, Seen, compare, doubtful, temporary
from swarmstrap.difference import Difference, wanted_frames
from swarmstrap.errors import Refused
from swarmstrap.index import FORMAT, Entry, Frame, Index, Kind, Member, Segment
from swarmstrap.preserving import Rules

DEVICE = 7
RULES = Rules(("/kept",))


def entry(path: str, kind: Kind = "f", **values: object) -> Entry:
    size = 10 if kind == "f" else 0
    return replace(Entry(path.encode(), kind, 0o644, 0, 0, 1000, size), **values)


def index(*entries: Entry) -> Index:
    """Every file has ten bytes of data, in a frame of its own."""
    whole = (entry(".", "d"), *entries)
    members = (
        Member(number, True, (Segment(0, 0, 10),), bytes(16))
        for number, one in enumerate(whole)
        if one.kind == "f"
    )
    frames = (Frame(0, 5, 10, bytes(32), (member,)) for member in members)
    return Index(FORMAT, whole, tuple(frames))


def tree(*entries: Entry, links: int = 1, device: int = DEVICE, foreign: str = "") -> FoundTree:
    """As found: every path an inode of its own, but those of `links`, which share one."""
    found = {b".": Seen(entry(".", "d"), (DEVICE, 1), 2)}
    for number, one in enumerate(entries, start=2):
        inode = 99 if links > 1 and one.kind == "f" else number
        found[one.path] = Seen(one, (device, inode), links if one.kind == "f" else 1)
    foreigners = frozenset({foreign.encode()} if foreign else ())
    return FoundTree(found, foreigners, frozenset({8}))


def decided(image: Index, found: FoundTree) -> Difference:
    return compare(image, found, RULES, {})


def paths(image: Index, numbers: tuple[int, ...]) -> list[str]:
    return [image.entries[number].path.decode() for number in numbers]


def test_the_same_is_no_difference() -> None:
    image = index(entry("a"), entry("b", "l", target=b"a"), entry("c", "h", size=0, target=b"a"))
    same = tree(entry("a"), entry("b", "l", target=b"a"), entry("c"), links=2)
    assert not decided(image, same)


def test_a_file_that_shares_its_inode_with_what_stays_is_written_anew() -> None:
    image = index(entry("a", mode=0o600))
    apart = decided(image, tree(entry("a")))
    assert (paths(image, apart.described), apart.written) == (["a"], ())
    shared = decided(image, tree(entry("a"), entry("kept"), links=2))
    assert (paths(image, shared.written), shared.described) == (["a"], ())
    goes = decided(image, tree(entry("a"), entry("other"), links=2))
    assert (paths(image, goes.described), goes.removed) == (["a"], (b"other",))
    unseen = decided(image, tree(entry("a"), links=2))
    assert paths(image, unseen.written) == ["a"]


def test_nothing_is_done_where_something_else_is_mounted() -> None:
    image = index(entry("mnt", "d", mtime=5), entry("mnt/a"), entry("mnt/b", "d"))
    assert not decided(image, tree(entry("mnt", "d"), foreign="mnt"))


def test_nothing_is_made_below_a_link_that_stays() -> None:
    image = index(entry("kept", "d"), entry("kept/a"), entry("new"))
    difference = decided(image, tree(entry("kept", "l", target=b"/elsewhere")))
    assert paths(image, difference.written) == ["new"]
    assert (difference.made, difference.cleared, difference.removed) == ((), (), ())


def test_what_is_missing_is_made_where_the_rest_is_preserved() -> None:
    image = index(entry("kept", "d"), entry("kept/a"), entry("kept/b"))
    difference = decided(image, tree(entry("kept", "d", mode=0o700), entry("kept/a", size=3)))
    assert paths(image, difference.written) == ["kept/b"]
    assert (difference.described, difference.removed) == ((), ())


def test_filesystems_without_owners_and_nanoseconds() -> None:
    second = 10**9
    image = index(entry("esp", "d"), entry("esp/a", mtime=3 * second, mode=0o600, uid=5))
    there = entry("esp", "d", mode=0o700), entry("esp/a", mtime=2 * second, mode=0o755)
    assert not decided(image, tree(*there, device=8))
    assert decided(image, tree(*there))
    assert decided(image, tree(there[0], replace(there[1], mtime=0), device=8))


def test_attributes_that_the_system_sets_are_no_difference() -> None:
    image = index(entry("a", xattrs=((b"user.a", b"1"),)))
    label = (b"security.selinux", b"x")
    assert not decided(image, tree(entry("a", xattrs=(label, (b"user.a", b"1")))))
    for xattrs in ((), ((b"user.a", b"2"),), ((b"user.a", b"1"), (b"trusted.b", b""))):
        difference = decided(image, tree(entry("a", xattrs=xattrs)))
        assert paths(image, difference.described) == ["a"]
    labelled = index(entry("a", xattrs=(label,)))
    assert decided(labelled, tree(entry("a")))


def test_a_directory_s_time_tells_nothing_where_something_stays_in_it() -> None:
    image = index(entry("etc", "d"))
    assert decided(image, tree(entry("etc", "d", mtime=5)))
    assert not decided(image, tree(entry("etc", "d", mtime=5), entry("etc/machine-id")))


def test_what_an_interrupted_update_left_goes_first() -> None:
    left = temporary(b"usr/a" * 60).decode()
    image = index(entry("var", "d"), entry("var/lib", "d"))
    found = tree(entry("var", "d"), entry("var/lib", "d"), entry("var/lib/" + left))
    assert decided(image, found).cleared == (b"var/lib/" + left.encode(),)
    assert len(left.rpartition("/")[2]) < 255


def test_data_are_read_where_they_may_be_the_image_s() -> None:
    image = index(entry("same"), entry("touched"), entry("grown"), entry("kept"))
    found = tree(
        entry("same"), entry("touched", mtime=1), entry("grown", size=11, mtime=1), entry("kept")
    )
    assert paths(image, tuple(doubtful(image, found, RULES, everything=False))) == ["touched"]
    everything = doubtful(image, found, RULES, everything=True)
    assert paths(image, tuple(everything)) == ["same", "touched"]
    kept = compare(image, found, RULES, {2: frozenset({1})})
    assert (paths(image, kept.described), paths(image, kept.written)) == (["touched"], ["grown"])
    assert wanted_frames(image, kept) == [2]


def test_what_must_stay_and_cannot() -> None:
    image = index(entry("kept"))
    difference = decided(image, tree(entry("kept", "d"), entry("kept/a")))
    assert not difference
    with pytest.raises(Refused, match="'kept' is no directory in the image"):
        compare(image, tree(entry("kept", "d"), entry("kept/a")), Rules(("/kept/a",)), {})
