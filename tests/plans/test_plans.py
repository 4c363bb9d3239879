# SPDX-License-Identifier: GPL-2.0-or-later
"""Every folder beside this file is a case; a new case is a new folder.

    inventory.json  what the node is (swarmstrap.hardware.Inventory)
    job.yaml        what it is to become: the layout and whatever else of a job matters
    image.yaml      optional: what differs from the image in image.yaml beside this file
    plan.txt        the plan, or
    error.txt       why there is none
    files.txt       optional: the files that the plan writes, but for the record (test_deployed.py)

`pytest tests/plans --update` rewrites the expectations; the diff is then what to review. A new
case needs an empty files.txt if its files matter.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import yaml

from swarmstrap.deployed import RECORD
from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.plan import make_plan
from swarmstrap.steps import Plan
from swarmstrap.steps.storage import WritePartitionTable
from swarmstrap.steps.system import WriteFile
from swarmstrap.wire import Job

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/job.yaml"))
GIVEN: Mapping[str, object] = {
    "deployment": "d-2026-001",
    "node": "node7",
    "session": "",
    "manifest": b"",
    "signature": b"",
    "torrent": b"",
}


def inventory_of(case: Path) -> Inventory:
    return msgspec.json.decode((case / "inventory.json").read_bytes(), type=Inventory)


def manifest_of(case: Path) -> Manifest:
    image = yaml.safe_load((HERE / "image.yaml").read_text())
    if (case / "image.yaml").exists():
        changes = yaml.safe_load((case / "image.yaml").read_text())
        image["facts"] |= changes.pop("facts", {})
        image |= changes
    return msgspec.convert(image, Manifest)


def job_of(case: Path, **changes: str) -> Job:
    return msgspec.convert(
        {**GIVEN, **yaml.safe_load((case / "job.yaml").read_text()), **changes}, Job
    )


def plan_of(case: Path, **changes: str) -> Plan:
    return make_plan(inventory_of(case), job_of(case, **changes), manifest_of(case))


def show(plan: Plan) -> str:
    lines = []
    for step in plan.steps:
        lines.append(str(step))
        if isinstance(step, WritePartitionTable):
            lines.append(f"    table {step.uuid}")
            lines += [
                f"    {p.number} {p.type} {p.start}+{p.size} {p.uuid}" for p in step.partitions
            ]
    return "\n".join([*lines, f"digest {plan.digest}", ""])


def show_files(plan: Plan) -> str:
    files = [step for step in plan.steps if isinstance(step, WriteFile) and step.path != RECORD]
    return "\n".join(f"=== {file.path} {file.mode:04o}\n{file.content}" for file in files)


def outcome(case: Path) -> dict[str, str]:
    """What a case comes to: the text of each expectation file, by name."""
    try:
        plan = plan_of(case)
    except SwarmstrapError as error:
        return {"error.txt": f"{type(error).__name__}: {error}\n"}
    shown = {"plan.txt": show(plan)}
    if (case / "files.txt").exists():
        shown["files.txt"] = show_files(plan)
    return shown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Path, request: pytest.FixtureRequest) -> None:
    got = outcome(case)
    if request.config.getoption("--update"):
        for name in ("plan.txt", "error.txt", "files.txt"):
            (case / name).unlink(missing_ok=True)
        for name, text in got.items():
            (case / name).write_text(text)
    names = ("plan.txt", "error.txt", "files.txt")
    expected = {name: (case / name).read_text() for name in names if (case / name).exists()}
    assert got == expected


def test_every_table_fits_a_console() -> None:
    for path in HERE.glob("*/error.txt"):
        table = path.read_text().splitlines()[1:]
        assert all(len(line) <= 80 for line in table), path


def test_the_same_job_gives_the_same_plan_and_another_node_other_uuids() -> None:
    case = HERE / "bios-virtio"
    again, other = plan_of(case), plan_of(case, node="node8")
    assert plan_of(case) == again
    uuids = {
        p.uuid for s in again.steps if isinstance(s, WritePartitionTable) for p in s.partitions
    }
    others = {
        p.uuid for s in other.steps if isinstance(s, WritePartitionTable) for p in s.partitions
    }
    assert len(uuids) == len(others)
    assert not uuids & others
    assert again.digest != other.digest
