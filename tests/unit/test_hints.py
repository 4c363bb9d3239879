# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk hints: every operator of Ironic's, units, and what has no meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Disk
from swarmstrap.hints import TEXT_KEYS, parse_match
from swarmstrap.units import GiB, MiB

LINK = "/dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T"
DISK = Disk(
    name="/dev/nvme0n1",
    size=100 * GiB,
    model="SAMSUNG MZVL2512HCJQ",
    serial="S675NX0T",
    hctl="2:0:0:0",
    tran="nvme",
    links=(LINK, "/dev/disk/by-id/nvme-eui.002538b121b0a1c2"),
)
SIZES = st.integers(1, 1 << 50)
# Comparing without regard to case is by case folding, so texts that fold to nothing are no texts.
WORDS = st.text("abcXYZ019-_.: ", min_size=1).map(str.strip).filter(bool)


def fits(key: str, value: str | int | bool, disk: Disk = DISK) -> bool:
    (hint,) = parse_match({key: value})
    assert (hint.objection(disk) is None) is hint.fits(disk)
    return hint.fits(disk)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("size", "100GiB", True),
        ("size", "== 100GiB", True),
        ("size", "!= 100GiB", False),
        ("size", "= 99 GiB", True),
        ("size", ">= 100GiB", True),
        ("size", ">100GiB", False),
        ("size", "< 101GiB", True),
        ("size", "<= 0.09TiB", False),
        ("size", "<or> 50GiB <or> 100GiB", True),
        ("size", "<range-in> [ 50GiB 100GiB ]", True),
        ("size", "<range-in> [ 50GiB 100GiB )", False),
        ("size", "<range-in> ( 100GiB 1TiB ]", False),
        ("model", "samsung mzvl2512hcjq", True),
        ("model", "s== Samsung", False),
        ("model", "<in> mzvl", True),
        ("model", "<all-in> hcjq <all-in> SAMSUNG", True),
        ("model", "<all-in> hcjq <all-in> intel", False),
        ("model", "s!= intel", True),
        ("serial", "<or> X <or> s675nx0t", True),
        ("serial", "s>= s6", True),
        ("serial", "s<= s6", False),
        ("serial", "s> s675nx0t", False),
        ("serial", "s< s6", False),
        ("hctl", "2:0:0:0", True),
        ("tran", "sata", False),
        ("vendor", "intel", False),
        ("vendor", "s!= intel", False),
        ("rotational", False, True),
        ("rotational", True, False),
        ("name", LINK, True),
        ("name", "<in> eui.002538", True),
        ("name", f"s!= {LINK}", False),
        ("name", "s!= /dev/disk/by-id/other", True),
    ],
)
def test_operator(key: str, value: str | bool, expected: bool) -> None:
    assert fits(key, value) is expected


def test_a_number_that_yaml_made_of_a_serial_is_still_text() -> None:
    assert fits("serial", 4711, Disk(name="/dev/sda", size=1, serial="4711"))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("siez", "1GiB", "unknown key in match: siez (did you mean size?)"),
        ("colour", "red", "known are size, rotational, model"),
        ("size", 100, "match.size is 100 (write a number with a unit"),
        ("size", ">= 100", "no unit in '100' (write 100GiB where Ironic's hint says 100)"),
        ("size", ">=", "no unit in ''"),
        ("size", "big", "not a size: 'big'"),
        ("size", "<or> 1GiB <or>", "match.size: nothing to compare with"),
        ("size", "<in> 100GiB", "<in> does not compare a size"),
        ("size", "<range-in> 1GiB 2GiB", "not a range"),
        ("size", "<range-in> [ 2GiB 1GiB ]", "nothing is in the range"),
        ("model", "", "match.model: nothing to compare with"),
        ("model", "<in>", "nothing to compare with (write a value after <in>)"),
        ("model", "<all-in> a <all-in>", "nothing to compare with"),
        ("model", ">= samsung", ">= does not compare a model"),
        ("model", True, "match.model is True (write text)"),
        ("rotational", "no", "write true or false"),
        ("name", "s== /dev/sdb", "may be another disk after the next boot"),
        ("name", "/dev/nvme0n1", "may be another disk after the next boot"),
    ],
)
def test_nonsense(key: str, value: str | int | bool, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_match({key: value})
    assert says in str(caught.value)


@given(size=SIZES, bound=SIZES)
def test_numbers_compare_as_numbers_do(size: int, bound: int) -> None:
    disk, text = Disk(name="/dev/sda", size=size), f"{bound}B"
    assert fits("size", f">= {text}", disk) is fits("size", f"= {text}", disk) is (size >= bound)
    assert fits("size", f"< {text}", disk) is not fits("size", f">= {text}", disk)
    assert fits("size", f"> {text}", disk) is not fits("size", f"<= {text}", disk)
    assert fits("size", f"!= {text}", disk) is not fits("size", text, disk)
    ends = sorted((bound, bound + MiB))
    within = f"<range-in> [ {ends[0]}B {ends[1]}B )"
    assert fits("size", within, disk) is (ends[0] <= size < ends[1])


@given(value=WORDS, other=WORDS)
def test_texts_compare_without_regard_to_case(value: str, other: str) -> None:
    disk = Disk(name="/dev/sda", size=1, model=value)
    assert fits("model", f"s== {value.swapcase()}", disk)
    assert fits("model", f"<or> {other} <or> {value.upper()}", disk)
    assert fits("model", f"s!= {other}", disk) is (value.casefold() != other.casefold())
    assert fits("model", f"<in> {other}", disk) is (other.casefold() in value.casefold())
    assert fits("model", f"s>= {other}", disk) is not fits("model", f"s< {other}", disk)
    both = fits("model", f"<in> {other}", disk) and fits("model", f"<in> {value[:1]}", disk)
    assert fits("model", f"<all-in> {other} <all-in> {value[:1]}", disk) is both


@given(key=st.sampled_from(sorted(set(TEXT_KEYS) - {"name"})), value=st.text())
def test_what_a_disk_does_not_say_of_itself_fits_nothing(key: str, value: str) -> None:
    try:
        (hint,) = parse_match({key: value})
    except BadInput:
        return
    assert not hint.fits(Disk(name="/dev/sda", size=1))
