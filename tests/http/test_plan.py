# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap plan` beside the site folder and from another machine: the same, word for word."""

import json

import pytest
from msgspec.structs import replace
from tests.http.api import Api, make_api
from tests.http.conftest import CLAIM, Live, register

from swarmstrap.hardware import Disk
from swarmstrap.plan import make_plan
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.operator_wire import Arm

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


def see(api: Api, *disks: Disk) -> None:
    """n1 registers, with other disks where some are given."""
    seen = register()
    inventory = replace(seen.inventory, disks=disks or seen.inventory.disks)
    api.live.services.deployments.register(replace(seen, inventory=inventory), "192.0.2.9")


@pytest.mark.parametrize("options", [(), ("--json",), ("--finish", "kexec", "--verify", "full")])
async def test_the_plan_of_an_armed_node(
    api: Api, capsys: Capture, options: tuple[str, ...]
) -> None:
    see(api)
    api.live.services.deployments.arm(Arm(nodes=("n1",), image="tiny"))
    here, there = await api.both(capsys, "plan", "n1", *options)
    assert there == here
    assert (there[0], there[2]) == (0, "")
    assert "write a GPT to /dev/vda" in there[1]
    assert ("kexec" in there[1]) == ("kexec" in options)


async def test_the_plan_of_an_armed_node_is_its_own(api: Api, capsys: Capture) -> None:
    """As it was armed, where that is not as site and node say."""
    live, seen = api.live, register()
    layouts = live.paths.root / "layouts"
    other = (layouts / "default.yaml").read_text().replace("256MiB", "300MiB")
    (layouts / "other.yaml").write_text(other)
    see(api)
    order = Arm(nodes=("n1",), image="tiny", layout="other", finish="poweroff", verify="full")
    live.services.deployments.arm(order)
    job = live.services.deployments.take_job(
        live.services.deployments.register(seen, "192.0.2.9").token, CLAIM
    )
    image = live.services.images.get("tiny", "1")
    digest = make_plan(seen.inventory, job, image.manifest).digest
    assert await api.command("viewer", "plan", "n1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["digest"] == digest
    assert await api.command("viewer", "plan", "n1", "--layout", "default", "--json") == 0
    assert json.loads(capsys.readouterr().out)["digest"] != digest


async def test_an_image_that_was_never_armed_is_said(api: Api, capsys: Capture) -> None:
    see(api)
    here, there = await api.both(capsys, "plan", "n1")
    assert there == here
    assert "no image was ever armed for this node" in there[2]
    assert await api.command("viewer", "plan", "n1", "--image", "tiny:1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["digest"]), told["refused"]) == (64, "")
    assert await api.command("viewer", "plan", "n1", "--image", "huge") == 1
    assert "there is no image huge" in capsys.readouterr().err


async def test_a_disk_that_fits_and_is_too_small(api: Api, capsys: Capture) -> None:
    see(api, Disk(name="/dev/vda", size=5 << 30, serial="system"))
    layout = api.live.paths.root / "layouts" / "default.yaml"
    layout.write_text(
        "disks:\n"
        "- id: system\n"
        "  partitions:\n"
        "  - {label: ESP, type: esp, size: 512MiB, format: vfat, mount: /boot/efi}\n"
        "  - {label: root, type: root, size_min: 40GiB, format: ext4, mount: /}\n"
    )
    here, there = await api.both(capsys, "plan", "n1", "--image", "tiny")
    assert there == here
    assert there[0] == Exit.FAILED
    assert there[1].splitlines()[1].startswith("* /dev/vda ")
    assert "root 40960) and there are 5118 MiB" in there[2]
    here, there = await api.both(capsys, "plan", "n1", "--image", "tiny", "--json")
    assert there == here
    told = json.loads(there[1])
    assert (told["lines"], told["digest"]) == ([], "")
    assert told["disks"][0]["verdicts"][0]["disk"]["name"] == "/dev/vda"
    assert told["refused"] in there[2]


async def test_no_disk_matches(api: Api, capsys: Capture) -> None:
    see(api, Disk(name="/dev/vda", size=1 << 30, serial="system"))
    here, there = await api.both(capsys, "plan", "n1", "--image", "tiny")
    assert there == here
    assert there[:2] == (Exit.FAILED, "")
    assert there[2].startswith("swarmstrap: no disk matches system, of 1 seen\n")


async def test_a_machine_that_no_file_has(api: Api, capsys: Capture) -> None:
    stranger = register("52:54:00:aa:bb:cc")
    api.live.services.deployments.register(stranger, "192.0.2.9")
    here, there = await api.both(capsys, "plan", "node-525400aabbcc", "--image", "tiny")
    assert (there[0], there[2]) == (here[0], here[2]) == (0, "")


@pytest.mark.parametrize(
    ("node", "said"),
    [("n2", "the hardware of n2 is not known yet"), ("n9", "there is no node 'n9'")],
)
async def test_a_node_that_cannot_be_planned_for(
    api: Api, capsys: Capture, node: str, said: str
) -> None:
    assert await api.command("viewer", "plan", node) == Exit.FAILED
    assert capsys.readouterr().err.startswith(f"swarmstrap: {said}")


async def test_the_site_counts_as_it_lies_there_now(api: Api, capsys: Capture) -> None:
    see(api)
    nodes = api.live.paths.root / "nodes" / "lab.yaml"
    nodes.write_text(nodes.read_text().replace("hostname: n1.example", "finish: kexec"))
    assert await api.command("viewer", "plan", "n1", "--image", "tiny") == 0
    assert "kexec" in capsys.readouterr().out
    nodes.write_text(nodes.read_text().replace("finish: kexec\n", "finsh: kexec\n"))
    assert await api.command("viewer", "plan", "n1", "--image", "tiny") == Exit.FAILED
    assert "nodes/lab.yaml:4: unknown key 'finsh'" in capsys.readouterr().err


async def test_a_query_that_means_nothing(api: Api) -> None:
    see(api)
    for query in ("mode=guess", "imge=tiny"):
        assert (await api.ask("GET", f"/nodes/n1/plan?{query}", "viewer")).status == 400
    assert (await api.ask("GET", "/nodes/n9/plan", "viewer")).status == 404
