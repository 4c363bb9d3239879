# SPDX-License-Identifier: GPL-2.0-or-later
"""The hardware matrix: unlike machines, layouts that fit them, a table of how each ended."""

import io
from typing import get_args

import msgspec
import pytest
import yaml
from rich.console import Console

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout, RaidLevel
from swarmstrap.networks.checks import check_network
from swarmstrap.networks.values import Interface
from swarmstrap_server.lab.debian import SYSTEMS
from swarmstrap_server.lab.machines import Bus
from swarmstrap_server.lab.matrix import table
from swarmstrap_server.lab.report import NodeReport, Report
from swarmstrap_server.lab.rows import ROWS, SUBSET, Row, rows
from swarmstrap_server.site.checks import layout_problems
from swarmstrap_server.site.yamlfile import parse

LAYOUTS = [(row, name) for row in ROWS for name in row.trial.layouts(row.name)]


def _layout(row: Row) -> Layout:
    return parse(row.trial.layout, Layout, name=row.name).value


def test_every_machine_is_another_one() -> None:
    for identities in zip(*((row.name, row.node.mac, row.node.uuid) for row in ROWS), strict=True):
        assert len(set(identities)) == len(ROWS)


def test_every_firmware_and_bus_and_three_nics_are_there() -> None:
    assert {row.node.firmware for row in ROWS} == {"bios", "uefi"}
    assert {disk.bus for row in ROWS for disk in row.node.disks} == set(get_args(Bus))
    assert len({row.node.nic for row in ROWS}) >= 3


@pytest.mark.parametrize(("row", "name"), LAYOUTS, ids=[name for _, name in LAYOUTS])
def test_a_layout_is_right_and_fits_its_machine(row: Row, name: str) -> None:
    document = parse(row.trial.layouts(row.name)[name], Layout, name=name)
    assert list(layout_problems(document)) == []
    disks = {disk.name for disk in row.node.disks}
    assert sum(disk.count for disk in document.value.disks) == len(disks)
    assert {*row.trial.root, *filter(None, [row.trial.removed])} <= disks
    serials = {str(disk.match["serial"]) for disk in document.value.disks if "serial" in disk.match}
    assert serials <= {f"{row.name}-{disk}" for disk in disks}
    if row.trial.unlock:
        assert row.trial.unlock in {volume.name for volume in document.value.luks}
    sealed = {volume.name for volume in document.value.luks if volume.key == "tpm2"}
    assert sealed == {*filter(None, [row.trial.tpm_unlocks])}
    assert row.node.tpm >= bool(sealed)
    assert row.image in SYSTEMS


def test_a_disk_is_removed_only_where_an_array_survives_that() -> None:
    mirror: RaidLevel = 1
    removed = [row for row in ROWS if row.trial.removed]
    assert removed
    for row in removed:
        assert {array.level for array in _layout(row).raid} == {mirror}
        assert set(row.trial.root) - {row.trial.removed}


def test_what_has_to_stay_is_made_the_first_time_and_preserved_the_second() -> None:
    twice = [row for row in ROWS if row.trial.again]
    assert twice
    for row in twice:
        assert row.trial.again is not None
        again = parse(row.trial.again.layout, Layout, name=row.name).value
        preserved = [p.label for disk in again.disks for p in disk.partitions if p.preserve]
        assert preserved == [row.trial.again.keeps]
        made = [p for disk in _layout(row).disks for p in disk.partitions if not p.preserve]
        assert row.trial.again.keeps in [p.label for p in made if p.format]


def test_a_network_is_right_and_of_the_machine_s_own_nics() -> None:
    bonded = [row for row in ROWS if row.trial.network]
    assert bonded
    for row in bonded:
        interfaces = msgspec.convert(yaml.safe_load(row.trial.network), tuple[Interface, ...])
        check_network(interfaces)
        nics = {interface.mac for interface in interfaces if interface.mac}
        assert nics == {row.node.mac, *row.node.more_nics}
        made = [i.name for i in interfaces if i.bond or i.bridge or i.vlan]
        assert [link.partition(":")[0] for link in row.trial.links.split(", ")] == made


def test_rows_are_chosen_by_name() -> None:
    assert rows([]) == ROWS
    assert {row.name for row in rows(SUBSET)} == set(SUBSET)
    with pytest.raises(BadInput, match="no row 'lukz'"):
        rows(["lukz"])


def test_the_table_says_how_long_each_row_took_and_how_it_ended() -> None:
    node = NodeReport(
        name="",
        firmware="uefi",
        disk="nvme",
        nic="e1000e",
        result="deployed",
        booted_from_disk=True,
        boots=2,
        decoy_intact=True,
        from_seeder_bytes=1,
        from_peers_bytes=0,
        update_bytes=0,
        phases={"firmware": 20.4, "image": 100.0, "boot": 61.0, "degraded": 70.0},
    )
    failed = msgspec.structs.replace(node, result="failed", boots=0, phases={})
    result = Report(image="debian:1", payload_bytes=1, seconds=1.0, nodes=(node, failed))
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table(rows(["uefi-raid1", "luks"]), result))
    mirror, luks = (line.split() for line in console.export_text().splitlines() if "e1000e" in line)
    assert mirror[-5:] == ["120", "61", "70", "2", "deployed"]
    assert luks[-5:] == ["0", "-", "-", "0", "failed"]
