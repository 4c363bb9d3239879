# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole path, as an operator rehearses it: three unlike nodes, one swarm, their own disks."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.vm.disturbing import Outage, check_events
from tests.vm.systems import BUILD, DEMO

from swarmstrap.units import Bytes, GiB
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.lab import demo, fleet, report
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.rehearsal import Rehearsal, rehearse
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

# From nothing, on a slow machine; every stage inside has a tighter limit of its own.
_SECONDS = 2400


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def test_three_nodes_come_through_a_killed_server_and_a_power_cut() -> None:
    demo.prepare(DEMO)
    outage = Outage()
    real = read_site(DEMO / "site")
    rehearsal = Rehearsal(
        real=real,
        image=ImageStore(real.paths.images).get(demo.IMAGE, None),
        nodes=tuple(fleet.parse(fleet.DEFAULT, memory=GiB, disk=Bytes(8 * GiB), cpus=2)),
        lab=LabSite(
            layout="default", finish="reboot", seeder_rate="2MiB", nonce=secrets.token_hex(16)
        ),
        work=DEMO / "rehearsal",
        disturb=outage,
    )
    result = asyncio.run(rehearse(rehearsal, lambda nodes: None))
    report.write(result, DEMO / "report.json")
    print((DEMO / "rehearsal" / "serve.log").read_text())
    told = _through(DEMO / "report.json")
    assert all(0.0 < share < 1.0 for share in outage.shares)
    machines = {(node["firmware"], node["disk"]) for node in told["nodes"]}
    assert machines == {("bios", "virtio-blk"), ("uefi", "nvme"), ("uefi", "sata")}
    for node in told["nodes"]:
        # Whoever begins anew may be the only one left who fetches.
        assert node["from_peers_bytes"] > 0 or node["name"] == outage.unplugged
        check_events(SitePaths(DEMO / "rehearsal" / "site"), node["name"])


def test_a_node_goes_by_kexec_straight_into_a_system_on_xfs() -> None:
    demo.prepare(DEMO)
    layouts = DEMO / "site" / "layouts"
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
    command = [sys.executable, "-m", "swarmstrap_server.lab.demo", "--out", str(DEMO)]
    command += ["--report", str(path), "--work", str(path.parent / "rehearsal"), *options]
    status = subprocess.run(command, timeout=_SECONDS, check=False).returncode
    told = _through(path)
    assert status == 0
    return told


def _through(path: Path) -> dict[str, Any]:
    """A rehearsal's report in the file `path`, of nodes that all did everything."""
    report: dict[str, Any] = json.loads(path.read_bytes())
    print(json.dumps(report, indent=2))
    for node in report["nodes"]:
        assert node["result"] == "deployed", node["reason"]
        assert node["booted_from_disk"]
        assert node["decoy_intact"]
        assert node["from_seeder_bytes"] + node["from_peers_bytes"] >= report["payload_bytes"]
        assert {"firmware", "disks", "image", "bootloader", "boot"} <= node["phases"].keys()
    return report
