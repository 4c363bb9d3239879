# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap-agent` on any machine: a plan without effects, and one line for every mistake."""

import json
from pathlib import Path

import msgspec
import pytest
from tests.plans.test_plans import inventory_of, job_of, manifest_of, plan_of

from swarmstrap.cli import main
from swarmstrap.hardware import Inventory

CASE = Path(__file__).parent.parent / "plans" / "uefi-nvme"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    job = msgspec.structs.replace(job_of(CASE), manifest=msgspec.json.encode(manifest_of(CASE)))
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(job))
    (tmp_path / "inventory.json").write_bytes(msgspec.json.encode(inventory_of(CASE)))
    return ["--inventory", str(tmp_path / "inventory.json"), "--job", str(tmp_path / "job.json")]


def test_the_plan_is_the_one_that_the_node_makes(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *files]) == 0
    shown = capsys.readouterr().out.splitlines()
    plan = plan_of(CASE)
    first = shown.index("disk system:")
    last = next(place for place, line in enumerate(shown) if line.startswith("  1. "))
    assert [line.split()[1] for line in shown[first:last] if line.startswith("* ")] == [
        "/dev/nvme0n1"
    ]
    assert [line.partition(". ")[2] for line in shown[last:-1]] == list(plan.lines())
    assert shown[-1] == f"digest {plan.digest}"


def test_the_plan_for_programs(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json", *files]) == 0
    told = json.loads(capsys.readouterr().out)
    plan = plan_of(CASE)
    assert (told["digest"], told["lines"]) == (plan.digest, list(plan.lines()))
    (entry,) = told["disks"]
    taken = [found["disk"]["name"] for found in entry["verdicts"] if found["chosen"]]
    assert (entry["id"], taken) == ("system", ["/dev/nvme0n1"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read"),
        ("{", "Input data was truncated"),
        ('{"boot": {"current_boot_mode": "bios"}, "colour": 1}', "unknown field `colour`"),
        ('{"boot": {"current_boot_mode": "coreboot"}}', "Invalid enum value 'coreboot'"),
    ],
)
def test_bad_files_are_one_line(
    files: list[str], content: str | None, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = Path(files[1])
    inventory.unlink()
    if content is not None:
        inventory.write_text(content)
    assert main(["plan", *files]) == 1
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.err.startswith("swarmstrap-agent: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_no_plan_is_told_with_its_table(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = msgspec.structs.replace(inventory_of(CASE), disks=())
    Path(files[1]).write_bytes(msgspec.json.encode(inventory))
    assert main(["plan", *files]) == 1
    assert "disk" in capsys.readouterr().err


def test_the_inventory_that_is_printed_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "--json"]) == 0
    seen = msgspec.json.decode(capsys.readouterr().out, type=Inventory)
    assert main(["inventory"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{disk.name}: " in shown for disk in seen.disks)
    assert all(f"{nic.name}: {nic.mac_address}" in shown for nic in seen.interfaces)


def test_wrong_usage_ends_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "--colour"])
    assert caught.value.code == 2
