# SPDX-License-Identifier: GPL-2.0-or-later
"""Inventories as people see them: the files NAME.shown beside some of tests/inventories."""

import pytest
from tests.unit.test_selectors import HERE, MACHINES, compare, inventory

from swarmstrap.describe import describe
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
