# SPDX-License-Identifier: GPL-2.0-or-later
"""discovery.yaml: which rule fits a machine, and what it is called then."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import Refused
from swarmstrap.hardware import Boot, Cpu, Disk, Inventory, Memory, Neighbour, Nic, SystemVendor
from swarmstrap_server.site.checks import NODE_NAME
from swarmstrap_server.site.discovery import Rule, facts_of, first_that_fits, name_by
from swarmstrap_server.site.reading import examine_site

GiB = 1 << 30
MACHINE = Inventory(
    boot=Boot(current_boot_mode="uefi", pxe_interface="52:54:00:00:00:02"),
    cpu=Cpu(architecture="x86_64", count=64),
    memory=Memory(total=256 * GiB),
    system_vendor=SystemVendor(
        manufacturer="Dell Inc.", product_name="PowerEdge R650", serial_number="CZ1/7 A"
    ),
    disks=(Disk(name="/dev/sda", size=480 * GiB, model="PM893"),),
    interfaces=(
        Nic(name="eth0", mac_address="52:54:00:00:00:01", driver="tg3", speed_mbps=1000),
        Nic(
            name="eth1",
            mac_address="52:54:00:00:00:02",
            driver="ice",
            speed_mbps=25000,
            lldp=Neighbour(chassis_id="c", port_id="Ethernet1/17", system_name="sw-r2"),
        ),
    ),
)
FACTS = facts_of(MACHINE)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"vendor": "dell inc."}, True),
        ({"vendor": "<in> dell"}, True),
        ({"vendor": "<or> HPE <or> Lenovo"}, False),
        ({"product": "<in> R650", "memory": ">= 256GiB"}, True),
        ({"product": "<in> R650", "memory": "> 256GiB"}, False),
        ({"mac": "<in> 52:54:00:00:00:01"}, True),
        ({"mac": "s!= 52:54:00:00:00:01"}, False),
        ({"lldp_switch": "sw-r2", "lldp_port": "<in> 1/17"}, True),
        ({"cpus": 64, "disks": "1", "nic_mbps": ">= 25000"}, True),
        ({"cpus": "<range-in> [ 1 63 ]"}, False),
        ({"disk_size": "<range-in> ( 400GiB 1TiB ]", "disk_model": "PM893"}, True),
        ({"architecture": "aarch64"}, False),
        ({"firmware": "uefi", "nic_driver": "ice"}, True),
        ({"uuid": "s!= x"}, True),
        ({"uuid": "x"}, False),
    ],
)
def test_what_fits(match: dict[str, str | int], fits: bool) -> None:
    assert (first_that_fits([Rule(match=match, name="a")], FACTS) is not None) == fits


def test_the_first_rule_that_fits_counts() -> None:
    rules = [Rule(match={"vendor": v}, name="a") for v in ("HPE", "<in> Dell", "<in> Inc")]
    found = first_that_fits(rules, FACTS)
    assert found is not None
    assert found[0] == 2


@pytest.mark.parametrize(
    ("pattern", "taken", "name"),
    [
        ("n-{serial}", (), "n-cz1-7-a"),
        ("{lldp_switch}-p{lldp_number:02}", (), "sw-r2-p17"),
        ("{lldp_port}", (), "ethernet1-17"),
        ("n{mac}", (), "n525400000002"),
        ("n{n:03}", (), "n001"),
        ("n{n:03}", ("n001", "n002", "n004"), "n003"),
        ("{product}-{n}", ("poweredge-r650-1",), "poweredge-r650-2"),
        ("storage", (), "storage"),
    ],
)
def test_names(pattern: str, taken: tuple[str, ...], name: str) -> None:
    assert name_by(pattern, FACTS, taken) == name


@pytest.mark.parametrize(
    ("pattern", "taken", "complaint"),
    [
        ("n{uuid}", (), "the machine says nothing of its uuid, which its name needs"),
        ("storage", ("storage",), "storage is the name of another node or group"),
        ("{product}-" + "x" * 60, (), "is not a node's name"),
    ],
)
def test_a_name_that_cannot_be_given(pattern: str, taken: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        name_by(pattern, FACTS, taken)


@given(st.text(), st.text())
def test_what_hardware_says_becomes_a_name_or_nothing(serial: str, port: str) -> None:
    nic = Nic(
        name="e", mac_address="52:54:00:00:00:01", lldp=Neighbour(chassis_id="c", port_id=port)
    )
    vendor = SystemVendor(serial_number=serial)
    machine = Inventory(boot=MACHINE.boot, cpu=MACHINE.cpu, system_vendor=vendor, interfaces=(nic,))
    for pattern in ("n{serial}", "{lldp_port}", "x{lldp_number:02}"):
        try:
            name = name_by(pattern, facts_of(machine), ())
        except Refused:
            continue
        assert NODE_NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{match: {vendr: Dell}, name: a}", "2: unknown key 'vendr' in match, did you mean 'ven"),
        ("{match: {memory: '>= much'}, name: a}", "2: not a size: 'much'"),
        ("{match: {cpus: '>= 1.5'}, name: a}", "2: not a whole number: '1.5'"),
        ("{match: {vendor: '> a'}, name: a}", "2: match.vendor: > does not compare a vendor"),
        ("{match: {}, name: a}", "2: an empty match would fit every machine"),
        ("{match: {vendor: Dell}}", "2: a rule needs a name, or groups"),
        ("{match: {vendor: Dell}, name: 'n{seral}'}", "2: unknown {seral} in a name, did you mean"),
        ("{match: {vendor: Dell}, name: '{serial:03}'}", "2: {serial} has no number of digits"),
        ("{match: {vendor: Dell}, name: N1}", "2: 'N1' does not make a node's name"),
        ("{match: {vendor: Dell}, groups: [al]}", "2: no group 'al', did you mean 'all'?"),
        ("{match: {vendor: Dell}, nam: a}", "2: unknown key 'nam' in a rule, did you mean 'name'?"),
    ],
)
def test_what_is_wrong_with_a_rule(tmp_path: Path, rule: str, expected: str) -> None:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "default.yaml").write_text(
        "disks:\n- id: system\n  partitions:\n"
        "  - {label: root, type: root, size_min: 1GiB, format: ext4, mount: /}\n"
    )
    (tmp_path / "site.yaml").write_text("name: test\naddress: 192.0.2.1\n")
    (tmp_path / "discovery.yaml").write_text(f"rules:\n- {rule}\n")
    (problem,) = (str(problem) for problem in examine_site(tmp_path)[1])
    assert problem.startswith(f"discovery.yaml:{expected}")
