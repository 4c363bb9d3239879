# SPDX-License-Identifier: GPL-2.0-or-later
"""The nasty tree on a node: installed, booted, and compared there. The node's memory is too small
for the image, so that it is staged on the disk it is written to. It is switched on by Redfish.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import comparing
from tests.bmc.switched import Switched
from tests.trees import nasty_system
from tests.vm import on_node
from tests.vm.systems import BUILD, demo_system, published, rehearsed

from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server.lab.machines import REPORT_LOG, SERIAL_LOG, VirtualNode
from swarmstrap_server.lab.report import NodeReport

NODE = VirtualNode(
    name="small",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000001",
    disk=Bytes(8 * GiB),
    memory=Bytes(800 * MiB),
    cpus=2,
)
NONCE = secrets.token_hex(16)
TREE, COMPARING = "/srv/nasty", "/srv/comparing"
# Before the rehearsal's own report, after which the node powers itself off.
UNIT = "etc/systemd/system/swarmstrap-report-boot.service.d/compare.conf"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@dataclass(frozen=True, slots=True)
class Run:
    report: NodeReport
    bmc: Switched
    told: dict[str, dict[str, Any]]
    console: str


@pytest.fixture(scope="module")
def run() -> Run:
    work = BUILD / "vm" / "nasty"
    system = work / "system"
    make_system(system)
    bmc = Switched("redfish")
    with published(system, "nasty") as image:
        report = rehearsed(image, NODE, work / "rehearsal", NONCE, bmc)
    subprocess.run(["rm", "-rf", system], check=True)
    folder = work / "rehearsal" / NODE.name
    lines = [json.loads(line) for line in (folder / REPORT_LOG).read_text().splitlines()]
    told = {line["compared"]: line for line in lines if "compared" in line}
    console = (folder / SERIAL_LOG).read_text(errors="replace")
    return Run(report.nodes[0], bmc, told, console)


def make_system(root: Path) -> None:
    """The demonstration's Debian with the nasty tree, and what compares it at the first boot."""
    demo_system(root)
    tree, tools = root / TREE[1:], root / COMPARING[1:]
    for folder in (tree, tools / "tests", (root / UNIT).parent):
        folder.mkdir(parents=True)
    nasty_system(tree)
    for module, name in ((comparing, "tests/comparing.py"), (on_node, "on_node.py")):
        assert module.__file__ is not None
        shutil.copy(module.__file__, tools / name)
    described = comparing.write(comparing.describe(tree))
    (tools / "expected").write_text(described)
    (tools / "spoiled").write_text(spoiled(described))
    files = " ".join(f"{COMPARING}/{name}" for name in ("expected", "spoiled"))
    start = f"/usr/bin/python3 -B {COMPARING}/on_node.py {TREE} {files}"
    (root / UNIT).write_text(f"[Service]\nExecStartPre={start}\n")


def spoiled(described: str) -> str:
    """Another time, one path less and one more."""
    lines = described.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("b'/names/empty file'\t")]
    kept.append("b'/nowhere'\tmode\t'0o100644'\n")
    return "".join(kept).replace("b'/times/1'\tmtime\t1\n", "b'/times/1'\tmtime\t2\n")


def test_the_node_starts_from_its_disk(run: Run) -> None:
    assert (run.report.result, run.report.reason) == ("deployed", "")
    assert run.report.booted_from_disk
    assert run.report.decoy_intact


def test_deploy_switched_it_on_by_redfish(run: Run) -> None:
    assert run.bmc.asked == ["network", "on"]
    assert run.bmc.statuses == [0]


def test_nothing_differs_on_the_node(run: Run) -> None:
    told = run.told[f"{COMPARING}/expected"]
    assert told["nonce"] == NONCE
    assert told["values"] > 2500
    assert told["differences"] == []


def test_what_differs_is_seen_on_the_node(run: Run) -> None:
    told = run.told[f"{COMPARING}/spoiled"]
    assert told["nonce"] == NONCE
    assert told["differences"] == [
        "b'/times/1': mtime is 1, not 2",
        "missing: b'/nowhere'",
        "too much: b'/names/empty file'",
    ]


def test_the_plan_says_why_the_disk_is_used(run: Run) -> None:
    console = re.sub(r"\s*\n(swarmstrap:)?\s*", " ", run.console)
    assert "from the swarm into the new root, since memory has only" in console
