# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of the disks of every machine in tests/inventories: the files NAME.plan there.

For each layout of machines.yaml the verdict on every disk and the steps that make the disks ready,
or why there is no plan. `pytest tests/plans --update` rewrites them.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from tests.plans.test_plans import GIVEN, manifest_of

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Inventory
from swarmstrap.plan import choices, make_plan
from swarmstrap.selectors import verdict_lines
from swarmstrap.steps import phase
from swarmstrap.steps.storage import WritePartitionTable
from swarmstrap.units import MiB
from swarmstrap.wire import Job

HERE = Path(__file__).parent
INVENTORIES = HERE.parent / "inventories"
MACHINES = sorted(path.stem for path in INVENTORIES.glob("*.json"))
LAYOUTS: dict[str, object] = yaml.safe_load((HERE / "machines.yaml").read_text())


def outcome(inventory: Inventory, layout: object) -> Iterator[str]:
    job = msgspec.convert({**GIVEN, "layout": layout}, Job)
    facts = msgspec.structs.replace(
        manifest_of(HERE).facts, grub_targets=("i386-pc", "x86_64-efi", "arm64-efi")
    )
    manifest = msgspec.structs.replace(
        manifest_of(HERE), architecture=inventory.cpu.architecture, facts=facts
    )
    # What Secure Boot asks of an image is another matter.
    boot = msgspec.structs.replace(inventory.boot, secure_boot=None)
    inventory = msgspec.structs.replace(inventory, boot=boot)
    try:
        yield from verdict_lines(choices(inventory, job))
        plan = make_plan(inventory, job, manifest)
    except SwarmstrapError as error:
        yield f"{type(error).__name__}: {error}"
        return
    for step in plan.steps:
        if phase(step) == "disks":
            yield f"- {step}"
        if isinstance(step, WritePartitionTable):
            for part in step.partitions:
                place = f"{part.start // MiB} MiB + {part.size // MiB} MiB"
                yield f"    {part.number} {part.label} ({part.type}): {place}"


@pytest.mark.parametrize("machine", MACHINES)
def test_machine(machine: str, request: pytest.FixtureRequest) -> None:
    inventory = msgspec.json.decode((INVENTORIES / f"{machine}.json").read_bytes(), type=Inventory)
    got = "\n\n".join(
        "\n".join([f"== {name}", *outcome(inventory, layout)]) for name, layout in LAYOUTS.items()
    )
    path = INVENTORIES / f"{machine}.plan"
    if request.config.getoption("--update"):
        path.write_text(f"{got}\n")
    assert path.read_text() == f"{got}\n"
