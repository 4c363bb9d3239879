# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the hardware matrix that no other test shows: a root on LVM, on RAID."""

import json
import os
from pathlib import Path

import pytest

from swarmstrap_server.lab import matrix
from swarmstrap_server.lab.rows import SUBSET, rows

BUILD = Path(__file__).parents[2] / "build"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def test_what_is_chosen_of_the_matrix_starts_from_its_own_disks() -> None:
    out = BUILD / "vm" / "matrix"
    status = matrix.main(["--out", str(out), "--demo", str(BUILD / "demo"), "--subset"])

    nodes = {node["name"]: node for node in json.loads((out / "report.json").read_bytes())["nodes"]}
    assert {name: node["reason"] for name, node in nodes.items()} == dict.fromkeys(SUBSET, "")
    for row in rows(SUBSET):
        assert nodes[row.name]["boots"] == row.trial.boots
        assert nodes[row.name]["decoy_intact"]
    assert status == 0
