# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that fail on (virtual) machines: unreadable when the node looks, unwritable in the middle
of the image, gone between look and write. Each node has a larger disk that would do as well.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from tests.vm.refusing import Case, Run, refuse, untouched
from tests.vm.systems import DEMO

from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server.lab import files, lab_site
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import BadSpot, VirtualDisk, VirtualNode
from swarmstrap_server.lab.network import Network
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

# The default layout's root begins at 258 MiB, and ext4 fills its second 128 MiB with small files.
IN_THE_ROOT = tuple(BadSpot("write", MiB * (258 + place)) for place in (140, 150))
LARGER = VirtualDisk(name="larger", bus="virtio-scsi", size=Bytes(5 * GiB))
UNWRITABLE, UNREADABLE, VANISHING = NODES = (
    VirtualNode(
        name="unwritable",
        mac="52:54:00:77:00:01",
        uuid="00000000-0000-4000-8000-000000000001",
        bus="virtio-scsi",
        bad=IN_THE_ROOT,
        more_disks=(LARGER,),
    ),
    VirtualNode(
        name="unreadable",
        mac="52:54:00:77:00:02",
        uuid="00000000-0000-4000-8000-000000000002",
        bus="virtio-scsi",
        bad=(BadSpot("read", 0),),
        more_disks=(LARGER,),
    ),
    VirtualNode(
        name="vanishing",
        mac="52:54:00:77:00:03",
        uuid="00000000-0000-4000-8000-000000000003",
        bus="virtio-scsi",
        more_disks=(LARGER,),
    ),
)
CASES = (
    Case(node=UNWRITABLE),
    Case(node=UNREADABLE),
    Case(node=VANISHING, unplugged_at="swarmstrap: ask the server what to become"),
)


def make_site(root: Path, net: Network) -> SitePaths:
    """The demonstration's site; a failed node powers itself off."""
    lab = LabSite(layout="default", finish="reboot", seeder_rate="", nonce="unused")
    paths = lab_site.make(root, read_site(DEMO / "site"), lab, net, NODES)
    listed = root / "nodes" / "rehearsal.yaml"
    nodes = yaml.safe_load(listed.read_text())["nodes"]
    told = [{**node, "hooks": [], "failure": {"action": "poweroff"}} for node in nodes]
    listed.write_text(yaml.safe_dump({"nodes": told}))
    return paths


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    return refuse(CASES, make_site, tmp_path_factory.mktemp("failing"))


def test_a_disk_that_cannot_be_read_is_not_planned_for(runs: Mapping[str, Run]) -> None:
    run = runs[UNREADABLE.name]
    deployment = run.refused()
    assert run.box().startswith(f"FAILED: decide on {UNREADABLE.name} /dev/sd")
    assert "holds unreadable data (sd" in run.box()
    assert "what to do: a disk that cannot be read is failing" in run.box()
    assert "holds unreadable data (sd" in deployment.reason
    assert untouched(run.files.system.path)


def test_a_disk_that_loses_what_is_written_fails_the_image(runs: Mapping[str, Run]) -> None:
    run = runs[UNWRITABLE.name]
    deployment = run.refused()
    assert run.box().startswith(f"FAILED: image on {UNWRITABLE.name} cannot sync")
    assert "Input/output error" in run.box()
    assert "Input/output error" in deployment.reason
    with run.files.system.path.open("rb") as disk:
        assert not any(disk.read(440))  # no boot code, so the firmware passes the disk over


def test_a_disk_that_is_gone_is_not_replaced_by_another(runs: Mapping[str, Run]) -> None:
    run = runs[VANISHING.name]
    deployment = run.refused()
    missing = "no disk is the planned"
    assert run.box().startswith(f"FAILED: disks on {VANISHING.name} {missing} /dev/sd")
    assert run.files.system.serial in run.box()
    assert "deploy the node again" in run.box()
    assert deployment.reason.startswith(missing)
    assert untouched(run.files.system.path)


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_no_other_disk_is_touched(runs: Mapping[str, Run], name: str) -> None:
    kept = runs[name].files
    assert untouched(kept.disks[LARGER.name].path)
    assert files.decoy_change(kept.decoy) is None


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_no_console_shows_the_inside(runs: Mapping[str, Run], name: str) -> None:
    assert not [line for line in runs[name].lines if "Traceback" in line]
