# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines of tests/inventories and what is asked of them; README.md there says how."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TypedDict

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import BadInput, SwarmstrapError, Unplannable
from swarmstrap.hardware import Disk, Inventory
from swarmstrap.layout import DiskLayout, Prefer, Wipe
from swarmstrap.selectors import Selection, choose, select, unfit
from swarmstrap.units import GiB

HERE = Path(__file__).parents[1] / "inventories"
MACHINES = sorted(path.stem for path in HERE.glob("*.json"))


class Question(TypedDict, total=False):
    match: dict[str, str | int | bool]
    prefer: Prefer
    wipe: Wipe
    count: int
    skip: list[dict[str, str | int | bool]]


def inventory(machine: str) -> Inventory:
    return msgspec.json.decode((HERE / f"{machine}.json").read_bytes(), type=Inventory)


def ask(question: Question, disks: tuple[Disk, ...]) -> Selection:
    asked = {"id": "system", **question}
    skip = question.get("skip", [])
    layout = msgspec.convert({k: asked[k] for k in asked.keys() - {"skip"}}, DiskLayout)
    return select((layout,), disks, skip=skip)[0]


def answer(question: Question, disks: tuple[Disk, ...]) -> str:
    try:
        return "\n".join(ask(question, disks).table())
    except SwarmstrapError as error:
        return f"{type(error).__name__}: {error}"


def brief(question: Question, disks: tuple[Disk, ...]) -> str:
    """`sda nvme0n1`, or how many there were where others were wanted."""
    try:
        return " ".join(disk.name.removeprefix("/dev/") for disk in ask(question, disks).disks)
    except Unplannable as error:
        first = error.message.splitlines()[0]
        for start, told in (("no disk", "none"), ("only", "too few")):
            if first.startswith(start):
                return told
        return " ".join(first.split()[:3:2])


def compare(path: Path, got: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update"):
        path.write_text(got)
    assert got == path.read_text()


@pytest.mark.parametrize("machine", MACHINES)
def test_what_comes_of_every_question(machine: str, request: pytest.FixtureRequest) -> None:
    questions: list[Question] = yaml.safe_load((HERE / f"{machine}.yaml").read_text())
    lines = (HERE / f"{machine}.yaml").read_text().splitlines()[1:]
    assert len(lines) == len(questions), "one line each"
    disks = inventory(machine).disks
    answers = [
        f"{line}\n{answer(question, disks)}\n"
        for line, question in zip(lines, questions, strict=True)
    ]
    compare(HERE / f"{machine}.txt", "\n".join(answers), request)


def test_the_same_questions_to_every_machine(request: pytest.FixtureRequest) -> None:
    questions: Mapping[str, Question] = yaml.safe_load((HERE / "matrix.yaml").read_text())
    rows = [["", *questions]]
    for machine in MACHINES:
        disks = inventory(machine).disks
        rows.append([machine, *(brief(question, disks) for question in questions.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    compare(HERE / "matrix.txt", "".join(f"{line}\n" for line in lines), request)


def test_every_machine_is_described() -> None:
    described = {
        line.split("`")[1]
        for line in (HERE / "README.md").read_text().splitlines()
        if line.startswith("| `")
    }
    assert described == set(MACHINES)
    assert {path.stem for path in HERE.glob("*.yaml")} - {"matrix"} == described


def layout(id: str = "system", **match: str | int | bool) -> DiskLayout:
    return DiskLayout(id=id, match=match)


def test_no_disk_is_taken_twice() -> None:
    disks = inventory("512e").disks
    first, second = choose((layout(rotational=True), layout("data", size="> 1GB")), disks)
    assert (first.name, second.name) == ("/dev/sdb", "/dev/sda")


def test_a_disk_that_is_gone_for_the_second_layout_says_so() -> None:
    with pytest.raises(Unplannable, match="system of the layout took it"):
        choose((layout(tran="nvme"), layout("data", tran="nvme")), inventory("usb-stick").disks)


def test_an_empty_entry_does_not_skip_every_disk() -> None:
    with pytest.raises(BadInput, match="would skip every disk"):
        choose((layout(),), inventory("512e").disks, skip=[{}])


TEXTS = st.sampled_from(["", "a", "b"])
DISKS = st.lists(
    st.builds(
        Disk,
        name=st.sampled_from(["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sr0", "/dev/loop0"]),
        size=st.sampled_from([0, GiB, 2 * GiB, 3 * GiB]),
        serial=TEXTS,
        wwn=TEXTS,
        tran=st.sampled_from(["sata", "usb"]),
        removable=st.booleans(),
        read_only=st.booleans(),
        multipath=st.booleans(),
        boot_medium=st.booleans(),
        holders=st.sampled_from([(), ("md0",)]),
    ),
    unique_by=lambda disk: disk.name,
)
LAYOUTS = st.builds(
    DiskLayout,
    id=st.just("system"),
    match=st.dictionaries(
        st.sampled_from(["serial", "wwn", "tran"]), st.sampled_from(["a", "sata", "s!= b"])
    ),
    prefer=st.sampled_from([None, "smallest", "largest"]),
    wipe=st.sampled_from(["empty-only", "anything"]),
    count=st.integers(1, 3),
)


def chosen(layout: DiskLayout, seen: list[Disk]) -> set[str] | None:
    """The names of the disks chosen, after a look at whether they may be; nothing for a refusal."""
    try:
        (selection,) = select((layout,), seen)
    except Unplannable:
        return None
    assert len(selection.disks) == layout.count
    assert [verdict.disk for verdict in selection.verdicts] == seen
    assert all(verdict.reason for verdict in selection.verdicts)
    release = layout.wipe == "anything"
    assert all(unfit(disk, seen, release=release) is None for disk in selection.disks)
    return {disk.name for disk in selection.disks}


@given(layout=LAYOUTS, disks=DISKS, random=st.randoms())
def test_as_many_as_wanted_or_none_in_whatever_order_the_kernel_found_them(
    layout: DiskLayout, disks: list[Disk], random: Random
) -> None:
    shuffled = disks.copy()
    random.shuffle(shuffled)
    assert chosen(layout, disks) == chosen(layout, shuffled)


@given(layout=LAYOUTS, disks=DISKS)
def test_a_refusal_names_every_disk_and_the_rule(layout: DiskLayout, disks: list[Disk]) -> None:
    if chosen(layout, disks) is not None:
        return
    with pytest.raises(Unplannable) as caught:
        select((layout,), disks)
    _, *rows = caught.value.message.splitlines()
    assert [row.split()[0] for row in rows] == [disk.name for disk in disks]
    assert all(len(row) < 80 and len(row.split()) > 3 for row in rows)
