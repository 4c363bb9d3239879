# SPDX-License-Identifier: GPL-2.0-or-later
"""A Windows-like disk on two nodes, neither of which ever runs what is on it: the bytes are judged.

One disk is as large as the image; the other one is larger and grown into, on a node with so little
memory that the image is staged behind itself. Both are read back before anything grows.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from tests.disk import windowslike

from swarmstrap.extents import gaps, merged
from swarmstrap.manifest import DiskFacts
from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server import cli
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import demo, files, lab_site
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network, network
from swarmstrap_server.lab.serving import serving
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import Ended, Expected
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

DEMO = Path(__file__).parents[2] / "build" / "demo"
# On the reference machine, with one guest.
SECONDS, QUIET = 480.0, 150.0

MORE = 160 * MiB
SIZE = windowslike.SIZE + MORE
EXACT, GROWN = NODES = (
    VirtualNode(
        name="exact",
        mac="52:54:00:77:00:01",
        uuid="00000000-0000-4000-8000-000000000001",
        bus="sata",
        disk=Bytes(SIZE),
    ),
    VirtualNode(
        name="grown",
        mac="52:54:00:77:00:02",
        uuid="00000000-0000-4000-8000-000000000002",
        firmware="uefi",
        bus="nvme",
        disk=GiB,
        memory=Bytes(800 * MiB),
    ),
)
LAYOUTS: Mapping[str, Mapping[str, object]] = {
    EXACT.name: {"unused": "zero", "grow": False},
    GROWN.name: {},
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@dataclass
class Run:
    files: files.NodeFiles
    lines: list[str] = field(default_factory=list)
    ended: Ended | None = None
    deployment: Deployment | None = None


@dataclass(frozen=True)
class Lab:
    raw: Path
    facts: DiskFacts
    runs: dict[str, Run]


def make_site(root: Path, net: Network, raw: Path) -> SitePaths:
    """The demonstration's keys and installer, and an image of its own; no hooks."""
    lab = LabSite(layout="default", finish="poweroff", seeder_rate="", nonce="unused")
    paths = lab_site.make(root, read_site(DEMO / "site"), lab, net, NODES)
    paths.images.unlink()
    qcow2 = raw.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], check=True)
    assert cli.main(["--site", str(root), "capture", str(qcow2), "windows", "--level", "1"]) == 0
    for node in NODES:
        match = {"serial": f"{node.name}-system"}
        layout = {"disks": [{"id": "system", "match": match, **LAYOUTS[node.name]}]}
        (root / "layouts" / f"{node.name}.yaml").write_text(yaml.safe_dump(layout))
    listed = root / "nodes" / "rehearsal.yaml"
    nodes = yaml.safe_load(listed.read_text())["nodes"]
    told = [{**node, "layout": node["name"], "hooks": []} for node in nodes]
    listed.write_text(yaml.safe_dump({"nodes": told}))
    return paths


async def power_on(node: VirtualNode, run: Run, speed: Speed, net: Network, tap: str) -> None:
    power = run.files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=tap)
    async with powered_on(
        node, power, logs=run.files.folder, on_line=run.lines.append, on_report=lambda _: False
    ) as guest:
        guest.prove()  # what the disk holds is the proof
        seconds, quiet = (speed.deadline(limit, guests=2) for limit in (SECONDS, QUIET))
        run.ended = await guest.ended(Expected("power-off", seconds, quiet))


async def deploy(work: Path) -> Lab:
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), Path("build/lab"))
    runs = {node.name: Run(files.prepare(node, work / node.name)) for node in NODES}
    raw = work / "disk.raw"
    await asyncio.to_thread(windowslike.make, raw, work, more=MORE)
    with raw.open("rb") as disk, runs[GROWN.name].files.decoy.path.open("r+b") as decoy:
        disk.seek(windowslike.ESP[0])
        decoy.write(disk.read(windowslike.ESP[1]))
    async with network(len(NODES)) as net:
        paths = await asyncio.to_thread(make_site, work / "site", net, raw)
        facts = ImageStore(paths.images).get("windows").manifest.disk
        assert facts is not None
        async with serving(paths, net) as operator:
            for name in runs:
                order = Arm(nodes=(name,), image="windows", layout=name, verify="full", minutes=60)
                await asyncio.to_thread(operator.arm, order)
            async with asyncio.TaskGroup() as group:
                for node, tap in zip(NODES, net.taps, strict=True):
                    group.create_task(power_on(node, runs[node.name], speed, net, tap))
            for view in await asyncio.to_thread(operator.nodes):
                runs[view.name].deployment = view.deployment
    return Lab(raw, facts, runs)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    demo.prepare(DEMO)
    return asyncio.run(deploy(tmp_path_factory.mktemp("windows")))


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_deployed(lab: Lab, name: str) -> None:
    run = lab.runs[name]
    assert run.ended is not None
    assert run.ended.good, (run.ended, run.lines[-30:])
    assert run.deployment is not None
    assert run.deployment.state == "deployed", run.deployment.reason


def test_every_byte_of_a_disk_of_the_same_size(lab: Lab) -> None:
    original, written = lab.raw.read_bytes(), lab.runs[EXACT.name].files.system.path.read_bytes()
    assert len(written) == len(original) == SIZE
    unused = merged(lab.facts.unused)
    for start, size in gaps(unused, SIZE):
        assert written[start : start + size] == original[start : start + size]
    for start, size in unused:
        assert not any(written[start : start + size])


def test_a_larger_disk_is_grown_into(lab: Lab) -> None:
    disk = lab.runs[GROWN.name].files.system.path
    original, written = lab.raw.read_bytes(), disk.read_bytes()
    start, size = windowslike.ESP
    for begin, length in gaps(merged(lab.facts.unused), start + size):
        if begin >= start:
            assert written[begin : begin + length] == original[begin : begin + length]
    verified = subprocess.check_output(["sgdisk", "--verify", disk], text=True)
    assert "No problems found" in verified
    node = subprocess.check_output(
        ["losetup", "-f", "--show", "-r", f"-o{windowslike.DATA[0]}", disk], text=True
    ).strip()
    try:
        kept = subprocess.check_output(["ntfscat", "-f", node, "kept"])
        info = subprocess.run(
            ["ntfsinfo", "-f", "-m", node], capture_output=True, text=True, check=True
        ).stdout
    finally:
        subprocess.run(["losetup", "-d", node], check=True)
    assert kept == (lab.raw.parent / "kept").read_bytes()
    clusters = next(line for line in info.splitlines() if "Volume Size in Clusters" in line)
    assert int(clusters.split()[-1]) * 4096 > 900 * MiB


def test_what_was_staged_behind_the_image_is_gone(lab: Lab) -> None:
    run = lab.runs[GROWN.name]
    assert any("the end of the disk, since memory has only" in line for line in run.lines)
    with run.files.system.path.open("rb") as disk:
        disk.seek(SIZE + MiB)
        assert not any(disk.read(16 * MiB))


def test_a_filesystem_that_is_on_another_disk_as_well_is_told(lab: Lab) -> None:
    (esp, *_) = lab.facts.partitions
    said = " ".join(" ".join(line.split()) for line in lab.runs[GROWN.name].lines)
    assert f"filesystem UUID {esp.uuid} is on /dev/nvme" in said
    assert "filesystem UUID" not in " ".join(lab.runs[EXACT.name].lines)
