# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input on real (virtual) machines: two nodes at once, refused each for a reason of its own."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from tests.vm.refusing import Case, Run, refuse, untouched
from tests.vm.systems import DEMO

from swarmstrap_server.images.signing import Key
from swarmstrap_server.lab import files, lab_site
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.signatures import sign

AMBIGUOUS, HOOKED = NODES = (
    VirtualNode(
        name="two-disks",
        mac="52:54:00:77:00:01",
        uuid="00000000-0000-4000-8000-000000000001",
    ),
    VirtualNode(
        name="bad-hook",
        mac="52:54:00:77:00:02",
        uuid="00000000-0000-4000-8000-000000000002",
        bus="sata",
    ),
)
HOOK = "50-licence"
# What each node is told beside its name, and how it is to end by its own policy.
SPECS: Mapping[str, Mapping[str, object]] = {
    AMBIGUOUS.name: {"layout": "any-disk", "hooks": [], "failure": {"action": "poweroff"}},
    HOOKED.name: {"hooks": [HOOK], "failure": {"action": "reboot"}},
}
CASES = Case(node=AMBIGUOUS), Case(node=HOOKED, end="reset")


def make_site(root: Path, net: Network) -> SitePaths:
    """The demonstration's site, with a layout that fits any disk and a hook that never succeeds."""
    lab = LabSite(layout="default", finish="reboot", seeder_rate="", nonce="unused")
    paths = lab_site.make(root, read_site(DEMO / "site"), lab, net, NODES)
    listed = root / "nodes" / "rehearsal.yaml"
    nodes = yaml.safe_load(listed.read_text())["nodes"]
    listed.write_text(yaml.safe_dump({"nodes": [{**n, **SPECS[n["name"]]} for n in nodes]}))
    (layout,) = yaml.safe_load((root / "layouts" / "default.yaml").read_text())["disks"]
    any_disk = {key: layout[key] for key in ("id", "partitions")}
    (root / "layouts" / "any-disk.yaml").write_text(yaml.safe_dump({"disks": [any_disk]}))
    hook = root / "hooks" / "initramfs" / HOOK
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text("#!/bin/sh\necho no licence is left\nexit 3\n")
    sign(read_site(root), "hook", Key(paths.publisher))
    return paths


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    return refuse(CASES, make_site, tmp_path_factory.mktemp("refused"))


def test_two_disks_match_and_neither_is_written(runs: Mapping[str, Run]) -> None:
    run = runs[AMBIGUOUS.name]
    deployment = run.refused()
    box = run.box()
    assert box.startswith(f"FAILED: decide on {AMBIGUOUS.name} 2 disks match system")
    for disk in (run.files.decoy, run.files.system):
        assert f"matches ({disk.serial}, no model)" in box
    assert "what to do: narrow `match` in the layout, or say `prefer: smallest`" in box
    assert untouched(run.files.system.path)
    assert files.decoy_change(run.files.decoy) is None
    assert deployment.reason.startswith("2 disks match system, where exactly one must\n")
    assert "prefer: largest" in deployment.hint


def test_a_hook_that_exits_3_fails_its_node_before_it_can_boot(runs: Mapping[str, Run]) -> None:
    run = runs[HOOKED.name]
    deployment = run.refused()
    assert f"swarmstrap: {HOOK}: no licence is left" in run.lines
    assert run.box().startswith(f"FAILED: hooks on {HOOKED.name} hook {HOOK} exited 3")
    assert files.decoy_change(run.files.decoy) is None
    assert not untouched(run.files.system.path)
    with run.files.system.path.open("rb") as disk:
        assert not any(disk.read(440))  # no boot code, so the firmware passes the disk over
    assert deployment.reason.startswith(f"hook {HOOK} exited 3 ")


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_no_console_shows_the_inside(runs: Mapping[str, Run], name: str) -> None:
    assert not [line for line in runs[name].lines if "Traceback" in line]
