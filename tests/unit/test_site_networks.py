# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks of the site: what interfaces have from them, and what is wrong with both."""

from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Boot, Cpu, Inventory, Nic
from swarmstrap.manifest import Facts
from swarmstrap.networks.files import network_files
from swarmstrap.placing import Identity
from swarmstrap_server.control.jobs import check_addresses
from swarmstrap_server.site.assembling import Declared
from swarmstrap_server.site.differing import differences
from swarmstrap_server.site.holding import held
from swarmstrap_server.site.merging import Layer
from swarmstrap_server.site.reading import Site, examine_site, read_site

NETWORKS = """\
networks:
- name: compute
  prefix: [10.1.0.0/16, '2001:db8:1::/64']
  gateway: [10.1.255.254, '2001:db8:1::1']
  dns: [10.1.255.1]
  search: [cluster.example]
  routes: [{to: 10.9.0.0/16, via: 10.1.255.253}]
- name: storage
  prefix: 10.2.0.0/16
  vlan: 20
  mtu: 9000
"""
NODES = """\
nodes:
- {name: n001, serial: a, variables: {row: 3}}
- {name: n300, serial: b, variables: {row: 4}}
"""
GROUP = "groups:\n- name: compute\n  members: [n001, n300]\n  network:\n"
LAN = '  - {mac: 52:54:00:00:00:01, network: compute, addresses: ["10.1.1.0+{n}"]}\n'
LAYOUT = """\
disks:
- id: a
  partitions:
  - {label: r, type: root, size_min: 1GiB, format: ext4, mount: /}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "default.yaml").write_text(LAYOUT)
    (tmp_path / "site.yaml").write_text("name: test\naddress: 192.0.2.1\n")
    (tmp_path / "nodes.yaml").write_text(NODES)
    (tmp_path / "networks.yaml").write_text(NETWORKS)
    return tmp_path


def read(root: Path, interfaces: str = LAN) -> Site:
    (root / "groups.yaml").write_text(GROUP + interfaces)
    return read_site(root)


def problems(root: Path, interfaces: str = LAN) -> list[str]:
    (root / "groups.yaml").write_text(GROUP + interfaces)
    return [str(problem) for problem in examine_site(root)[1]]


def test_an_interface_has_what_its_network_says(root: Path) -> None:
    (interface,) = read(root).nodes["n001"].network
    assert interface.addresses == ("10.1.1.1/16",)
    assert interface.gateways == ("10.1.255.254",), "none for IPv6, in which it has no address"
    assert interface.dns == ("10.1.255.1",)
    assert interface.search == ("cluster.example",)
    assert [route.to for route in interface.routes] == ["10.9.0.0/16"]
    assert interface.dhcp is False


def test_counting_goes_on_in_the_next_octet(root: Path) -> None:
    assert read(root).nodes["n300"].network[0].addresses == ("10.1.2.44/16",)


def test_what_the_interface_says_itself_holds(root: Path) -> None:
    own = LAN.replace("network:", "gateway: [], dns: [10.1.0.3], network:")
    (interface,) = read(root, own).nodes["n001"].network
    assert interface.gateways == ()
    assert interface.dns == ("10.1.0.3",)


def test_both_families(root: Path) -> None:
    both = LAN.replace('{n}"', '{n}", "2001:db8:1::100+{n}"')
    (interface,) = read(root, both).nodes["n001"].network
    assert interface.addresses == ("10.1.1.1/16", "2001:db8:1::101/64")
    assert interface.gateways == ("10.1.255.254", "2001:db8:1::1")


def test_variables_and_rack_in_an_address(root: Path) -> None:
    site = read(root, LAN.replace("10.1.1.0+{n}", "10.1.{row}.7"))
    assert site.nodes["n300"].network[0].addresses == ("10.1.4.7/16",)


def test_without_addresses_a_lease_says_the_rest(root: Path) -> None:
    (interface,) = (
        read(root, "  - {mac: 52:54:00:00:00:01, network: storage}\n").nodes["n001"].network
    )
    assert (interface.dhcp, interface.mtu, interface.gateways) == (None, 9000, ())


VLAN = (
    "  - {name: lan0, mac: 52:54:00:00:00:01, mtu: 9000, dhcp: false}\n"
    '  - {network: storage, link: lan0, addresses: ["10.2.0.{row}"]}\n'
)


def test_a_vlan_reaches_the_files_of_the_node(root: Path) -> None:
    network = read(root, VLAN).nodes["n001"].network
    machine = Inventory(
        boot=Boot(current_boot_mode="uefi"),
        cpu=Cpu(architecture="x86_64"),
        interfaces=(Nic(name="enp1s0", mac_address="52:54:00:00:00:01"),),
    )
    facts = Facts(network_stack="netplan", resolver="none")
    files = network_files(facts, network, machine, Identity("d", "n001"))
    (plan,) = [file.content for file in files if file.path.endswith(".yaml")]
    assert "vlan20" in plan
    assert "10.2.0.3/16" in plan
    assert "9000" in plan


@pytest.mark.parametrize(
    ("interfaces", "expected"),
    [
        (LAN.replace("compute", "compue"), "5: no network 'compue', did you mean 'compute'?"),
        (LAN.replace("10.1.1.0", "10.3.0.0"), "5: 10.3.0.1 is not in network compute (10.1.0.0/16"),
        (LAN.replace("{n}", "{nn}"), "5: 10.1.1.0+{nn}: nothing says what {nn} is for this node"),
        (LAN.replace("10.1.1.0+{n}", "10.1.x"), "5: '10.1.x' is not an address"),
        (LAN.replace("{n}", "{n}/24"), "5: 10.1.1.0+1/24: network compute is 10.1.0.0/16"),
        (LAN.replace("1.0+{n}", "0.0"), "5: 10.1.0.0 is not for one machine"),
        (LAN.replace("1.0+{n}", "255.254"), "5: 10.1.255.254 is the gateway of network compute"),
        (LAN.replace("1.0+{n}", "7.7"), "5: 10.1.7.7 is the address of n[001,300]"),
        (LAN.replace("network: compute, ", "link: lan0, "), "5: link needs a network with a VLAN"),
        (
            VLAN.replace("storage", "compute").replace("10.2", "10.1"),
            "6: network compute has no vlan",
        ),
        (VLAN.replace("link: lan0", "vlan: {id: 7, link: lan0}"), "6: VLAN 7, and network storage"),
    ],
)
def test_an_interface_that_does_not_fit(root: Path, interfaces: str, expected: str) -> None:
    found = problems(root, interfaces)
    assert found[0].startswith(f"groups.yaml:{expected}")


def test_one_address_of_two_nodes_wherever_it_is_written(root: Path) -> None:
    (root / "nodes.yaml").write_text(
        f"{NODES}- {{name: head, serial: c, network: [{{mac: 52:54:00:00:00:09, "
        "addresses: [10.1.1.1/16], dhcp: false}]}\n"
    )
    (found,) = problems(root)
    assert found == "groups.yaml:5: 10.1.1.1 is the address of head,n001 (nodes.yaml:4)"


def test_a_bridge_that_no_cable_leads_to_may_be_alike_everywhere(root: Path) -> None:
    own = "  - {name: br0, bridge: {}, dhcp: false, addresses: [192.168.122.1/24]}\n"
    assert problems(root, own) == []


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ("{name: a, prefix: 10.1.0.5/16}", "2: '10.1.0.5/16' is an address in a prefix, did you"),
        ("{name: a, prefix: '10.1'}", "2: '10.1' is not a prefix"),
        ("{name: a, prefix: 10.1.0.0}", "2: '10.1.0.0' lacks its length"),
        ("{name: a, prefix: [10.1.0.0/16, 10.2.0.0/16]}", "2: one prefix for IPv4 and one for"),
        ("{name: a, prefix: 10.1.0.0/16, gateway: 10.2.0.1}", "2: 10.2.0.1 is not in 10.1.0.0/16"),
        ("{name: a, gateway: 10.2.0.1}", "2: 10.2.0.1 is not in a prefix: there is none"),
        ("{name: a, dns: [ns1]}", "2: 'ns1' is not an address"),
        ("{name: a, vlan: 5000}", "2: vlan: expected a number <= 4094"),
        ("{name: a, prefx: 10.1.0.0/16}", "2: unknown key 'prefx' in a network, did you mean"),
        ("{name: a}\n- {name: a}", "3: network a is there twice (networks.yaml:2)"),
        (
            "{name: a, prefix: 10.1.0.0/16}\n- {name: b, prefix: 10.1.4.0/24}",
            "3: 10.1.4.0/24 overlaps 10.1.0.0/16 of network a (networks.yaml:2)",
        ),
    ],
)
def test_what_is_wrong_with_a_network(root: Path, networks: str, expected: str) -> None:
    """Once, and not again for every interface on it."""
    (root / "networks.yaml").write_text(f"networks:\n- {networks}\n")
    (found,) = problems(root)
    assert found.startswith(f"networks.yaml:{expected}")


def test_show_says_which_network_a_value_is_from(root: Path) -> None:
    words = held(read(root, VLAN), "n001")
    mtu = words["network.storage.prefix"]
    assert (mtu.value, mtu.owner, mtu.place) == (
        "10.2.0.0/16",
        "network storage",
        "networks.yaml:9",
    )
    assert words["network.storage.vlan"].place == "networks.yaml:10"
    assert words["network"].place == "groups.yaml:4"
    assert "10.2.0.3" in str(words["network"].value)


def test_diff_names_the_line_of_the_network(root: Path) -> None:
    before = read(root)
    (root / "networks.yaml").write_text(NETWORKS.replace("dns: [10.1.255.1]", "dns: [10.1.255.2]"))
    (found,) = differences(before, read(root))
    assert (found.what, found.nodes) == ("network.compute.dns", ("n001", "n300"))
    assert (found.after, found.place) == (["10.1.255.2"], "networks.yaml:5")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("web", "nothing says what {n} is"), ("x1", "10.1.1.1 of x1 is also that of n001")],
)
def test_a_node_of_no_file_gets_no_wrong_address(root: Path, name: str, expected: str) -> None:
    stranger = Declared(name, ("compute",), Layer({"serial": "z"}, lambda path: "by hand"))
    site = read(root).with_node(stranger)
    with pytest.raises(BadInput) as refused:
        check_addresses(site, name)
    assert expected in str(refused.value)
