# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole path, as an operator rehearses it: three unlike nodes, one swarm, their own disks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"
# From nothing, on a slow machine; every stage inside has a tighter limit of its own.
_SECONDS = 2400


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and mmdebstrap need root")
def test_demo_deploys_three_nodes_that_boot_from_their_own_disks() -> None:
    path = BUILD / "demo" / "report.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "swarmstrap_server.lab.demo", "--out", str(BUILD / "demo")]
    status = subprocess.run(command, timeout=_SECONDS, check=False).returncode

    report = json.loads(path.read_bytes())
    print(json.dumps(report, indent=2))
    assert status == 0
    machines = {(node["firmware"], node["disk"]) for node in report["nodes"]}
    assert machines == {("bios", "virtio-blk"), ("uefi", "nvme"), ("uefi", "sata")}
    for node in report["nodes"]:
        assert node["result"] == "deployed", node["reason"]
        assert node["booted_from_disk"]
        assert node["decoy_intact"]
        assert node["from_peers_bytes"] > 0
        assert node["from_seeder_bytes"] + node["from_peers_bytes"] >= report["payload_bytes"]
        assert {"firmware", "disks", "image", "bootloader", "boot"} <= node["phases"].keys()
