# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole path, as an operator rehearses it: three unlike nodes, one swarm, their own disks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmstrap_server.lab import demo

BUILD = Path(__file__).parents[2] / "build"
# From nothing, on a slow machine; every stage inside has a tighter limit of its own.
_SECONDS = 2400


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def test_demo_deploys_three_nodes_that_boot_from_their_own_disks() -> None:
    report = _run(BUILD / "demo" / "report.json", [])
    machines = {(node["firmware"], node["disk"]) for node in report["nodes"]}
    assert machines == {("bios", "virtio-blk"), ("uefi", "nvme"), ("uefi", "sata")}
    for node in report["nodes"]:
        assert node["from_peers_bytes"] > 0


def test_a_node_goes_by_kexec_straight_into_a_system_on_xfs() -> None:
    demo.prepare(BUILD / "demo")
    layouts = BUILD / "demo" / "site" / "layouts"
    default = (layouts / "default.yaml").read_text()
    assert "format: ext4" in default
    (layouts / "xfs.yaml").write_text(default.replace("format: ext4", "format: xfs"))
    options = ["--node", "uefi,virtio-scsi,e1000e", "--layout", "xfs", "--finish", "kexec"]
    _run(BUILD / "vm" / "kexec" / "report.json", options)

    # Twice from its own disk: by kexec, and by its firmware.
    said = BUILD / "vm" / "kexec" / "rehearsal" / "uefi-scsi" / "report.jsonl"
    assert len(said.read_text().splitlines()) == 2


def _run(path: Path, options: list[str]) -> dict[str, Any]:
    """The demo with other options; its report, of nodes that all did everything."""
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "swarmstrap_server.lab.demo", "--out", str(BUILD / "demo")]
    command += ["--report", str(path), "--work", str(path.parent / "rehearsal"), *options]
    status = subprocess.run(command, timeout=_SECONDS, check=False).returncode

    report: dict[str, Any] = json.loads(path.read_bytes())
    print(json.dumps(report, indent=2))
    assert status == 0
    for node in report["nodes"]:
        assert node["result"] == "deployed", node["reason"]
        assert node["booted_from_disk"]
        assert node["decoy_intact"]
        assert node["from_seeder_bytes"] + node["from_peers_bytes"] >= report["payload_bytes"]
        assert {"firmware", "disks", "image", "bootloader", "boot"} <= node["phases"].keys()
    return report
