# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input on real (virtual) machines: two nodes at once, refused each for a reason of its own."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.signing import Key
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import demo, files, lab_site
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network, network
from swarmstrap_server.lab.serving import serving
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.site.hooks import sign_hooks
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

DEMO = Path(__file__).parents[2] / "build" / "demo"
# On the reference machine, with one guest.
SECONDS, QUIET = 240.0, 120.0

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
ENDS: Mapping[str, End] = {AMBIGUOUS.name: "power-off", HOOKED.name: "reset"}


@dataclass
class Run:
    """One node's power-on: its files, its console, how it ended, and what the server made of it."""

    files: files.NodeFiles
    lines: list[str] = field(default_factory=list)
    ended: Ended | None = None
    deployment: Deployment | None = None

    def box(self) -> str:
        """What the console says large, on one line."""
        return " ".join(" ".join(line[4:] for line in self.lines if line[:4] == "!!! ").split())


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
    sign_hooks(read_site(root), Key(paths.publisher))
    return paths


async def power_on(node: VirtualNode, run: Run, speed: Speed, net: Network, tap: str) -> None:
    def take(line: str) -> None:
        run.lines.append(line)
        if line.startswith("!!! FAILED"):
            guest.prove()

    power = run.files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=tap)
    async with powered_on(
        node, power, logs=run.files.folder, on_line=take, on_report=lambda _: False
    ) as guest:
        seconds, quiet = (speed.deadline(limit, guests=2) for limit in (SECONDS, QUIET))
        run.ended = await guest.ended(Expected(ENDS[node.name], seconds, quiet))


async def refuse(work: Path) -> dict[str, Run]:
    """Arm both nodes, power them on at once, and wait until each has ended."""
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), Path("build/lab"))
    runs = {node.name: Run(files.prepare(node, work / node.name)) for node in NODES}
    async with network(len(NODES)) as net:
        async with serving(make_site(work / "site", net), net) as operator:
            order = Arm(nodes=tuple(runs), image=demo.IMAGE, minutes=60)
            await asyncio.to_thread(operator.arm, order)
            async with asyncio.TaskGroup() as group:
                for node, tap in zip(NODES, net.taps, strict=True):
                    group.create_task(power_on(node, runs[node.name], speed, net, tap))
            for view in await asyncio.to_thread(operator.nodes):
                runs[view.name].deployment = view.deployment
    return runs


def untouched(disk: Path) -> bool:
    """Whether a sparse file that was made empty has never been written to."""
    with disk.open("rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:
            return True
        return False


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    demo.prepare(DEMO)
    return asyncio.run(refuse(tmp_path_factory.mktemp("refused")))


def test_two_disks_match_and_neither_is_written(runs: dict[str, Run]) -> None:
    run = runs[AMBIGUOUS.name]
    assert run.ended is not None
    assert run.ended.good, (run.ended, run.lines[-30:])
    box = run.box()
    assert box.startswith(f"FAILED: decide on {AMBIGUOUS.name} 2 disks match system")
    for disk in (run.files.decoy, run.files.system):
        assert f"matches ({disk.serial}, no model)" in box
    assert "what to do: narrow `match` in the layout, or say `prefer: smallest`" in box
    assert untouched(run.files.system.path)
    assert files.decoy_change(run.files.decoy) is None
    assert run.deployment is not None
    assert run.deployment.state == "failed"
    assert run.deployment.reason.startswith("2 disks match system, where exactly one must\n")
    assert "prefer: largest" in run.deployment.hint


def test_a_hook_that_exits_3_fails_its_node_before_it_can_boot(runs: dict[str, Run]) -> None:
    run = runs[HOOKED.name]
    assert run.ended is not None
    assert run.ended.good, (run.ended, run.lines[-30:])
    assert f"swarmstrap: {HOOK}: no licence is left" in run.lines
    assert run.box().startswith(f"FAILED: hooks on {HOOKED.name} hook {HOOK} exited 3")
    assert files.decoy_change(run.files.decoy) is None
    assert not untouched(run.files.system.path)
    with run.files.system.path.open("rb") as disk:
        assert not any(disk.read(440))  # no boot code, so the firmware passes the disk over
    assert run.deployment is not None
    assert run.deployment.state == "failed"
    assert run.deployment.reason.startswith(f"hook {HOOK} exited 3 ")


@pytest.mark.parametrize("name", [node.name for node in NODES])
def test_no_console_shows_the_inside(runs: dict[str, Run], name: str) -> None:
    assert not [line for line in runs[name].lines if "Traceback" in line]
