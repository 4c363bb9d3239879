# SPDX-License-Identifier: GPL-2.0-or-later
"""Every folder of yaml_cases: in.yaml read as a layout is refused with exactly error.txt."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout
from swarmstrap_server.site.settings import Settings
from swarmstrap_server.site.words import Node, NodeEntry, NodesFile
from swarmstrap_server.site.yamlfile import load, parse

CASES = sorted((Path(__file__).parent / "yaml_cases").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_that_is_wrong_is_refused_with_its_line(case: Path) -> None:
    with pytest.raises(BadInput) as refused:
        load(case / "in.yaml", Layout, name="layouts/default.yaml")
    assert f"{refused.value}\n" == (case / "error.txt").read_text()


def read_node(text: str) -> NodeEntry:
    return parse(f"nodes:\n- {text}\n", NodesFile, name="nodes.yaml").value.nodes[0]


def test_a_mac_of_digits_is_no_number_to_base_60() -> None:
    assert read_node("{name: a, mac: 52:54:00:12:34:56}").mac == "52:54:00:12:34:56"


def test_macs_in_one_spelling() -> None:
    assert Node(name="a", mac=("52-54-00-AB-34-56",)).macs == {"52:54:00:ab:34:56"}


@pytest.mark.parametrize("serial", ["0123", "0x50", "1e3", "2026-11-22", "on", "1_000", ".5"])
def test_what_looks_like_a_number_elsewhere_stays_text(serial: str) -> None:
    text = f"disks:\n- {{id: system, match: {{serial: {serial}}}, partitions: []}}"
    assert parse(text, Layout, name="l").value.disks[0].match == {"serial": serial}


def test_an_alias_stands_for_what_it_names() -> None:
    text = "nodes:\n- {name: a, mac: m, network: &net [{mac: m}]}\n- {name: b, network: *net}"
    nodes = parse(text, NodesFile, name="n").value.nodes
    assert nodes[0].network == nodes[1].network


def test_lines_of_keys_and_items() -> None:
    document = parse("disks:\n- id: a\n  partitions: []\n", Layout, name="l")
    assert document.lines[("disks",)] == 1
    assert document.lines[("disks", 0)] == 2
    assert document.lines[("disks", 0, "partitions")] == 3
    problem = document.problem(("disks", 0, "match", "size"), "is odd")
    assert str(problem) == "l:2: is odd"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"disks: \xe9")
    for name, message in (
        ("latin.yaml", "x:1: not UTF-8 text"),
        ("none.yaml", "x: cannot be read"),
    ):
        with pytest.raises(BadInput, match=message):
            load(tmp_path / name, Layout, name="x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ports: {boot: 70000}", "site.yaml:3: boot: expected a number <= 65535"),
        ("dhcp: {range: [a]}", "site.yaml:3: range: expected a list of length 2, got 1"),
        ("discovery: maybe", "site.yaml:3: discovery: expected true or false, got text"),
    ],
)
def test_bounds_are_said_in_the_words_of_the_file(line: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(f"name: a\naddress: b\n{line}\n", Settings, name="site.yaml")
    assert str(refused.value) == message


LAYOUT = "disks:\n- id: a\n  match: {size: '>= 1GiB'}\n  partitions:\n  - {label: r, type: root}\n"


@given(
    st.integers(0, len(LAYOUT)),
    st.integers(0, 12),
    st.text("[]{}:,-&*!#'\"|>%@\n\t ab1é\0", max_size=6),
)
def test_a_damaged_file_is_a_layout_or_bad_input(at: int, cut: int, put: str) -> None:
    with contextlib.suppress(BadInput):
        parse(LAYOUT[:at] + put + LAYOUT[at + cut :], Layout, name="l")


@pytest.mark.parametrize("text", ["[" * 20_000, "{a: " * 5_000, "disks: " + "9" * 9_000])
def test_a_file_that_would_exhaust_the_reader(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text, Layout, name="l")
