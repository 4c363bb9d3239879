# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk hints: operators, units, and the rule that exactly one disk is left."""

import pytest

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.layout import DiskLayout, Partition
from swarmstrap.selectors import choose, parse_match
from swarmstrap.units import GiB

DISK = Disk(
    name="/dev/nvme0n1",
    size=100 * GiB,
    model="SAMSUNG MZVL2512HCJQ",
    serial="S675NX0T",
    hctl="2:0:0:0",
    tran="nvme",
)


def layout(id: str = "system", **match: str | int | bool) -> DiskLayout:
    return DiskLayout(id=id, partitions=(Partition(label="root", type="root"),), match=match)


@pytest.mark.parametrize(
    ("key", "value", "fits"),
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
        ("serial", "s< s6", False),
        ("hctl", "2:0:0:0", True),
        ("tran", "sata", False),
        ("vendor", "intel", False),
        ("rotational", False, True),
        ("rotational", True, False),
    ],
)
def test_operator(key: str, value: str | bool, fits: bool) -> None:
    (hint,) = parse_match({key: value})
    assert (hint.objection(DISK) is None) is fits


def test_a_number_that_yaml_made_of_a_serial_is_still_text() -> None:
    (hint,) = parse_match({"serial": 4711})
    assert hint.fits(Disk(name="/dev/sda", size=1, serial="4711"))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("siez", "1GiB", "unknown key in match: siez (did you mean size?)"),
        ("colour", "red", "known are size, rotational, model"),
        ("size", 100, "match.size is 100 (write a number with a unit"),
        ("size", "big", "not a size: 'big'"),
        ("size", "<in> 100GiB", "<in> does not compare a size"),
        ("size", "<range-in> 1GiB 2GiB", "not a range"),
        ("model", ">= samsung", ">= does not compare a model"),
        ("model", True, "match.model is True (write text)"),
        ("rotational", "no", "write true or false"),
        ("name", "s== /dev/sdb", "may be another disk after the next boot"),
    ],
)
def test_nonsense(key: str, value: str | int | bool, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_match({key: value})
    assert says in str(caught.value)


def test_no_disk_is_taken_twice() -> None:
    disks = (DISK, Disk(name="/dev/sda", size=GiB, tran="sata"))
    first, second = choose((layout(tran="nvme"), layout("data", size="> 0B")), disks)
    assert (first.name, second.name) == ("/dev/nvme0n1", "/dev/sda")


def test_a_disk_that_is_gone_for_the_second_layout_says_so() -> None:
    with pytest.raises(Unplannable, match="another disk of the layout took it"):
        choose((layout(tran="nvme"), layout("data", tran="nvme")), (DISK,))
