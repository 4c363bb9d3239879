# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that no node may take: none that matches, one that is too small, one that belongs to a
volume group elsewhere, one whose partition to preserve is another than the layout says.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.vm.refusing import Case, Run, refuse
from tests.vm.systems import DEMO

from swarmstrap.units import GiB
from swarmstrap_server.lab import lab_site
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

UNMATCHED, SMALL, MEMBER, DIFFERENT = NODES = (
    VirtualNode(
        name="unmatched",
        mac="52:54:00:77:00:01",
        uuid="00000000-0000-4000-8000-000000000001",
    ),
    VirtualNode(
        name="small",
        mac="52:54:00:77:00:02",
        uuid="00000000-0000-4000-8000-000000000002",
        bus="virtio-scsi",
        disk=GiB,
    ),
    VirtualNode(
        name="member",
        mac="52:54:00:77:00:03",
        uuid="00000000-0000-4000-8000-000000000003",
        bus="sata",
    ),
    VirtualNode(
        name="different",
        mac="52:54:00:77:00:04",
        uuid="00000000-0000-4000-8000-000000000004",
        bus="nvme",
    ),
)
ROOT = "{label: root, type: root, size_min: 2GiB, weight: 1, format: ext4, mount: /}"
LAYOUTS: Mapping[str, str] = {
    UNMATCHED.name: f"""\
disks:
- id: fast
  match: {{tran: nvme, size: ">= 4GiB"}}
  partitions:
  - {ROOT}
""",
    SMALL.name: f"""\
disks:
- id: system
  match: {{serial: small-system}}
  partitions:
  - {ROOT}
""",
    MEMBER.name: f"""\
disks:
- id: system
  match: {{size: ">= 4GiB"}}
  wipe: ordinary
  partitions:
  - {ROOT}
""",
    DIFFERENT.name: f"""\
disks:
- id: system
  match: {{size: ">= 4GiB"}}
  wipe: ordinary
  partitions:
  - {{label: data, type: linux, size: 512MiB, format: xfs, mount: /data, preserve: true}}
  - {ROOT}
""",
}


def make_member(disk: Path) -> None:
    """All of the disk is a physical volume of the group `store`."""
    find = ["losetup", "--find", "--show", str(disk)]
    loop = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    try:
        for command in (["pvcreate", "--quiet", "--yes", loop], ["vgcreate", "store", loop]):
            subprocess.run(command, check=True, capture_output=True)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def make_data(disk: Path) -> None:
    """A GPT with one partition, `data`: an ext4 of 256 MiB."""
    table = "label: gpt\nstart=1MiB, size=256MiB, type=linux, name=data\n"
    subprocess.run(["sfdisk", "--quiet", str(disk)], input=table, text=True, check=True)
    mkfs = ["mkfs.ext4", "-q", "-F", "-L", "data", "-E", "offset=1048576", str(disk), "256M"]
    subprocess.run(mkfs, check=True, capture_output=True)


CASES = (
    Case(node=UNMATCHED),
    Case(node=SMALL),
    Case(node=MEMBER, fill=make_member),
    Case(node=DIFFERENT, fill=make_data),
)


def make_site(root: Path, net: Network) -> SitePaths:
    """The demonstration's site, with a layout for each node; one that fails powers itself off."""
    lab = LabSite(layout="default", finish="reboot", seeder_rate="", nonce="unused")
    return lab_site.make(root, read_site(DEMO / "site"), lab, net, NODES, LAYOUTS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    return refuse(CASES, make_site, tmp_path_factory.mktemp("refused-disks"))


def test_no_disk_matches(runs: Mapping[str, Run]) -> None:
    run = runs[UNMATCHED.name]
    deployment = run.refused()
    assert deployment.reason.startswith("no disk matches fast, of 2 seen\n")
    for disk in (run.files.decoy, run.files.system):
        assert any("tran virtio is not nvme" in line for line in run.lines), disk
    assert deployment.hint == "loosen `match` in the layout, or deploy to another node"


def test_a_disk_is_too_small(runs: Mapping[str, Run]) -> None:
    deployment = runs[SMALL.name].refused()
    assert deployment.reason.startswith("system does not fit on /dev/sd")
    assert "layout needs 2049 MiB (bios-boot 1, root 2048)" in deployment.reason
    assert "there are 1022 MiB for partitions" in deployment.reason
    assert deployment.hint.startswith("lower size_min, or give a partition a priority")


def test_a_disk_is_of_another_volume_group(runs: Mapping[str, Run]) -> None:
    deployment = runs[MEMBER.name].refused()
    assert "holds a physical volume of LVM (sd" in deployment.reason
    assert "the layout of system only takes a disk without such data" in deployment.reason
    assert deployment.hint == "write `wipe: anything` in the layout to replace it"


def test_a_partition_to_preserve_is_another(runs: Mapping[str, Run]) -> None:
    deployment = runs[DIFFERENT.name].refused()
    differs = "is to be preserved, and has 256 MiB, less than 512MiB, holds ext4, not xfs"
    assert deployment.reason == f"partition data of /dev/nvme1n1 {differs}"
    assert deployment.hint.startswith("let the layout say what it is")


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_the_console_says_what_the_server_knows(runs: Mapping[str, Run], name: str) -> None:
    run = runs[name]
    deployment = run.refused()
    box = run.box()
    assert box.startswith(f"FAILED: decide on {name} {deployment.reason.splitlines()[0]}"[:60])
    assert f"what to do: {deployment.hint}"[:60] in box
    assert not [line for line in run.lines if "Traceback" in line]


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_no_disk_has_changed(runs: Mapping[str, Run], name: str) -> None:
    assert runs[name].changed() == []
