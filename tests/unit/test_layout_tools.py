# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap layout check`, `explain`, `render` and `schema`.

layout_explained/ has what is to be said: `LAYOUT.txt` of an example in docs/layouts, and
`LAYOUT@MACHINE.txt` of it on one of tests/inventories. A new case is a new file, even an empty one;
`pytest tests/unit/test_layout_tools.py --update` fills it for review.
"""

import contextlib
import json
from pathlib import Path

import msgspec
import pytest

from swarmstrap.hardware import Boot, Cpu, Disk, FoundPartition, Inventory
from swarmstrap.units import GiB, MiB
from swarmstrap_server.cli import main
from swarmstrap_server.control.identity import Marks
from swarmstrap_server.control.store import SeenNode, Store
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths

TREE = Path(__file__).parents[2]
EXAMPLES = TREE / "docs/layouts"
INVENTORIES = TREE / "tests/inventories"
EXPLAINED = sorted((Path(__file__).parent / "layout_explained").glob("*.txt"))


@pytest.mark.parametrize("expected", EXPLAINED, ids=lambda path: path.stem)
def test_explain(
    expected: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, _, machine = expected.stem.partition("@")
    on = ["--inventory", str(INVENTORIES / f"{machine}.json")] if machine else []
    status = main(["layout", "explain", str(EXAMPLES / f"{layout}.yaml"), *on])
    shown = capsys.readouterr()
    assert (status == 0) == (shown.err == "")
    if request.config.getoption("--update"):
        expected.write_text(shown.out + shown.err)
    assert expected.read_text() == shown.out + shown.err


def test_every_example_is_explained() -> None:
    explained = {path.stem.partition("@")[0] for path in EXPLAINED}
    assert explained == {path.stem for path in EXAMPLES.glob("*.yaml")}


def test_explain_needs_an_inventory_that_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "machine.json"
    path.write_text('{"cpu": {}}')
    layout = str(EXAMPLES / "one-disk.yaml")
    assert main(["layout", "explain", layout, "--inventory", str(path)]) == 1
    assert "machine.json: not an inventory" in capsys.readouterr().err


def render(capsys: pytest.CaptureFixture[str], layout: str, machine: str, shape: str) -> str:
    inventory = str(INVENTORIES / f"{machine}.json")
    source = str(EXAMPLES / f"{layout}.yaml")
    assert main(["layout", "render", source, "--inventory", inventory, "--as", shape]) == 0
    return capsys.readouterr().out


def test_render_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    lines = render(capsys, "raid1", "like-disks", "plan").splitlines()
    assert lines[0].startswith("stop whatever uses /dev/sdi (447.1 GiB")
    assert [line.split()[0] for line in lines] == [
        *("stop", "wipe", "write", "wipe", "write"),
        *("make", "make", "make", "make", "make", "make", "mount", "mount"),
    ]


def test_render_json_has_the_steps_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    steps = json.loads(render(capsys, "raid1", "like-disks", "json"))
    assert len(steps) == len(render(capsys, "raid1", "like-disks", "plan").splitlines())
    (root,) = [step for name, step in steps if name == "MountVolume" and step["target"] == "/"]
    assert root["volume"] == {"type": "array", "name": "root", "uuid": root["volume"]["uuid"]}


def test_render_an_fstab(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split() for line in render(capsys, "btrfs", "nvme-only", "fstab").splitlines()[1:]]
    assert {row[1]: row[3] for row in rows} == {
        "/": "subvol=@,noatime,compress=zstd",
        "/boot/efi": "umask=0077",
        "/home": "subvol=@home,noatime,compress=zstd",
        "/var/log": "subvol=@log,defaults",
    }


def test_a_whole_disk_is_rendered_by_its_image(capsys: pytest.CaptureFixture[str]) -> None:
    source, machine = EXAMPLES / "whole-disk.yaml", INVENTORIES / "virtio.json"
    assert main(["layout", "render", str(source), "--inventory", str(machine)]) == 1
    assert "is decided by the image" in capsys.readouterr().err


def explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, disk: Disk
) -> dict[str, str]:
    """What is said of `disk` alone in a machine, by the first word of each line."""
    machine = Inventory(
        boot=Boot(current_boot_mode="bios"), cpu=Cpu(architecture="x86_64"), disks=(disk,)
    )
    inventory, layout = tmp_path / "machine.json", tmp_path / "layout.yaml"
    inventory.write_bytes(msgspec.json.encode(machine))
    layout.write_text(text)
    assert main(["layout", "explain", str(layout), "--inventory", str(inventory)]) == 0
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}


def test_explain_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "disks:\n- id: a\n  partitions:\n"
        "  - {label: root, type: root, size_min: 4GiB, size_max: 5GiB, format: ext4, mount: /}\n"
        "  - {label: swap, type: swap, size_min: 2GiB, priority: 7}\n"
        "  - {label: home, type: home, size: 10%, format: xfs, mount: /home}\n"
    )
    lines = explained(tmp_path, capsys, text, Disk(name="/dev/vda", size=6 * GiB))
    assert "left out: too little room for every minimum (priority 7)" in lines["swap"]
    assert "its maximum, 5GiB" in lines["2"]
    assert "size: 10%" in lines["3"]


def test_explain_says_what_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = FoundPartition(
        number=5,
        start=100 * GiB,
        size=80 * GiB,
        type="3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
        uuid="5d1f2a4c-0000-4000-8000-000000000005",
        name="data",
        filesystem="xfs",
        filesystem_uuid="5d1f2a4c-0000-4000-8000-00000000000f",
    )
    disk = Disk(
        name="/dev/vda",
        size=200 * GiB,
        signatures=("gpt 5d1f2a4c-0000-4000-8000-000000000000", "xfs (vda5)"),
        partitions=(FoundPartition(number=1, start=MiB, size=GiB, name="old"), data),
    )
    text = (EXAMPLES / "keep-data.yaml").read_text()
    lines = explained(tmp_path, capsys, text, disk)
    assert lines["data"] == "  data stays, replaced by `wipe: ordinary`: partition 1 (old)"
    assert "80 GiB at 100 GiB" in lines["5"]
    assert "is there, and is not written; xfs at /srv" in lines["5"]


def test_a_node_of_the_site_is_explained_without_what_the_site_skips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, layout = tmp_path / "site", str(EXAMPLES / "one-disk.yaml")
    newsite.init(site, "test", ["192.0.2.1"], None)
    settings = SitePaths(site).settings
    skip = "defaults: {skip_block_devices: [{size: '>= 50GiB'}]}\n"
    settings.write_text(settings.read_text() + skip)
    inventory = msgspec.json.decode((INVENTORIES / "virtio.json").read_bytes(), type=Inventory)
    node = SeenNode("node1", Marks("", frozenset()), "192.0.2.7", 5.0)
    with contextlib.closing(Store(SitePaths(site).database)) as store, store.transaction():
        store.save_node(node, inventory)
    assert main(["--site", str(site), "layout", "explain", layout, "--node", "node1"]) == 0
    shown = capsys.readouterr().out
    assert "* /dev/vda" in shown
    assert "the site skips it: size >= 50GiB" in shown
    assert main(["--site", str(site), "layout", "render", layout, "--node", "node2"]) == 1
    assert "the hardware of node2 is not known" in capsys.readouterr().err


def test_check_finds_nothing_wrong_in_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", "check", *map(str, EXAMPLES.glob("*.yaml"))]) == 0
    assert capsys.readouterr().out == "nothing wrong\n"


DISK = "disks:\n- id: a\n  partitions:\n  - {label: r, type: root, format: ext4, mount: /}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (DISK.replace("label", "lable"), ":4: unknown key 'lable' in a partition, did you mean"),
        (DISK.replace("ext4", "ext3"), ":4: format: 'ext3' is none of"),
        (DISK.replace("- id: a", "- id: a\n  match: {seriel: X}"), ":2: disk a: unknown key"),
        (f"{DISK}raid:\n- {{name: m, level: 1, devices: [q]}}\n", ":6: raid m: device q"),
        (f"{DISK}luks:\n- {{name: s, device: r}}\n", ":6: luks s: "),
        (
            f"{DISK}volume_groups:\n- name: v\n  devices: [r]\n  volumes: []\n",
            ":6: volume group v: ",
        ),
    ],
)
def test_check_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(text)
    assert main(["layout", "check", str(path), str(EXAMPLES / "one-disk.yaml")]) == 1
    assert f"{path}{complaint}" in capsys.readouterr().err
    assert main(["layout", "check", "--json", str(path)]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.startswith(f"{path}{complaint}")


def test_schema_is_the_one_that_is_shipped(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = EXAMPLES / "layout.schema.json"
    assert main(["layout", "schema"]) == 0
    shown = capsys.readouterr().out
    if request.config.getoption("--update"):
        shipped.write_text(shown)
    assert shipped.read_text() == shown
