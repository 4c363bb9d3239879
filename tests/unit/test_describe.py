# SPDX-License-Identifier: GPL-2.0-or-later
"""Inventories as people see them: the files NAME.shown beside some of tests/inventories."""

import pytest
from msgspec.structs import replace
from tests.unit.test_selectors import HERE, MACHINES, compare, inventory

from swarmstrap.describe import describe
from swarmstrap.hardware import Nic
from swarmstrap.hints import parse_match


@pytest.mark.parametrize("machine", sorted(path.stem for path in HERE.glob("*.shown")))
def test_shown(machine: str, request: pytest.FixtureRequest) -> None:
    shown = "".join(f"{line}\n" for line in describe(inventory(machine)))
    compare(HERE / f"{machine}.shown", shown, request)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_shown_of_a_disk_matches_it(machine: str) -> None:
    """Whoever copies `key value` from the lines of a disk into a layout gets that disk."""
    disks = {disk.name: disk for disk in inventory(machine).disks}
    disk = None
    copied = 0
    for line in describe(inventory(machine)):
        if not line.startswith("  "):
            disk = disks.get(line.partition(":")[0])
        elif disk is not None:
            for part in line.strip().split(", "):
                key, _, value = part.partition(" ")
                if key in ("serial", "wwn", "hctl", "by_path", "tran", "name"):
                    (hint,) = parse_match({key: value})
                    assert hint.fits(disk), part
                    copied += 1
    assert bool(copied) is bool(disks)


def test_a_nic_has_an_address_by_itself_only_where_that_is_known_and_another() -> None:
    nics = [
        Nic(name="eth0", mac_address="52:54:00:00:00:01", permanent_mac=permanent)
        for permanent in ("", "52:54:00:00:00:01", "52:54:00:00:00:02")
    ]
    shown = [
        line
        for line in describe(replace(inventory("virtio"), interfaces=tuple(nics)))
        if "eth0" in line
    ]
    assert [line.count("by itself") for line in shown] == [0, 0, 1]
