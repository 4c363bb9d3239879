# SPDX-License-Identifier: GPL-2.0-or-later
"""What `swarmstrap check` says of a network that is wrong."""

import re

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server.site.assembling import catalog
from swarmstrap_server.site.networks import NONE
from swarmstrap_server.site.nodechecks import node_problems
from swarmstrap_server.site.wordchecks import Known
from swarmstrap_server.site.words import NodesFile
from swarmstrap_server.site.yamlfile import parse

MACS = tuple(f"52:54:00:00:00:0{digit}" for digit in range(1, 5))


def with_macs(text: str) -> str:
    return re.sub(r"@(\d)", lambda found: MACS[int(found[1]) - 1], text)


def problem(*network: str) -> str:
    """The one complaint about interfaces of which the first is on line 5; @1 is the first MAC."""
    lines = "".join(f"  - {interface}\n" for interface in network)
    text = with_macs(f"nodes:\n- name: n1\n  mac: @1\n  network:\n{lines}")
    try:
        files = [parse(text, NodesFile, name="n.yaml")]
        (found,) = node_problems(files, [], catalog(files, [], NONE), Known([], []))
    except BadInput as error:
        return str(error)
    return str(found)


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        ("{mac: @1, adresses: []}", "unknown key 'adresses' in an interface entry, did you"),
        ("{mac: @1, mtu: 20}", "mtu: expected a number >= 68"),
        ("{name: bond0, bond: {members: [], mode: lacp}}", "mode: 'lacp' is none of 802.3ad"),
        ("{name: v, vlan: {id: 4095, link: lan0}}", "id: expected a number <= 4094"),
        ("{mac: 52:54:00:00:00:0G}", "'52:54:00:00:00:0G' is not a MAC address in lower case"),
        ("{dhcp: true}", "a NIC needs mac or match"),
        ("{mac: @1, match: {driver: e1000e}}", "a NIC needs mac or match"),
        ("{match: {}}", "match says nothing, and would fit every NIC"),
        ("{match: {driver: 'a b'}}", "'a b' cannot be part of a NIC's description"),
        ("{mac: @1, name: Lan0}", "'Lan0' is not a name"),
        ("{mac: @1, name: abcdefghijklmnop}", "is not a name"),
        ("{mac: @1, name: eth1}", "'eth1' is given out by the kernel"),
        ("{bond: {members: [@1]}}", "a bond needs a name"),
        ("{name: b, bridge: {}, bond: {}}", "bond and bridge are two interfaces"),
        ("{name: b, bond: {}}", "a bond needs members or match"),
        ("{name: b, bridge: {}, match: {driver: e1000e}}", "match finds a NIC, and b is a bridge"),
        ("{name: b, bond: {members: [@1], lacp_rate: fast}}", "lacp_rate is for mode"),
        ("{name: v, mac: @2, vlan: {id: 2, link: @1}}", "the MAC of its link"),
        ("{name: v, vlan: {id: 2, link: '52:54'}}", "'52:54' is not a MAC address"),
        ("{mac: @1, addresses: [192.0.2.7]}", "lacks the prefix length"),
        ("{mac: @1, addresses: [192.0.2.7/24, 192.0.2.7/24]}", "address is there twice"),
        ("{mac: @1, dns: [ns1]}", "'ns1' is not an address"),
        ("{mac: @1, dns: ['fe80::1%eth0']}", "leave out what follows %"),
        ('{mac: @1, search: ["a b"]}', "'a b' is not a domain"),
        ('{mac: @1, dns: ["192.0.2.1\\nDHCP=yes"]}', "is not an address"),
        ("{mac: @1, dhcp: false}", "dhcp: false needs addresses"),
        (
            "{mac: @1, addresses: [192.0.2.7/24], gateway: 198.51.100.1}",
            "198.51.100.1 is not in a subnet of this interface (192.0.2.0/24)",
        ),
        ("{mac: @1, gateway: 192.0.2.1}", "(it has none of that kind)"),
        (
            "{mac: @1, addresses: [192.0.2.7/24], gateway: [192.0.2.1, 192.0.2.2]}",
            "one gateway for IPv4 and one for IPv6 at most",
        ),
        (
            "{mac: @1, addresses: [192.0.2.7/24], routes: [{to: 1.2.3.4/8, via: 192.0.2.1}]}",
            "'1.2.3.4/8' is not a network",
        ),
        (
            "{mac: @1, addresses: [192.0.2.7/24], routes: [{to: 0.0.0.0/0, via: 192.0.2.1}]}",
            "is a gateway: write it as one",
        ),
        (
            "{mac: @1, addresses: [192.0.2.7/24], routes: [{to: '2001:db8::/32', via: 192.0.2.1}]}",
            "cannot be reached via 192.0.2.1",
        ),
        ("{mac: @1, addresses: ['2001:db8::7/64'], mtu: 1000}", "IPv6 needs an MTU of"),
    ],
)
def test_an_interface_that_is_wrong(interface: str, expected: str) -> None:
    found = problem(interface)
    assert found.startswith("n.yaml:5: ")
    assert with_macs(expected) in found


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("{mac: @1}", "{mac: @1}", "6: mac @1 is there twice"),
        (
            "{name: lan0, mac: @1}",
            "{name: lan0, mac: @2}",
            "6: name lan0 is there twice",
        ),
        (
            "{name: bond0, bond: {members: [@1, bond0]}}",
            "{mac: @2}",
            "5: bond0 is in itself",
        ),
        (
            "{name: br0, bridge: {members: [vlan20]}}",
            "{name: vlan20, vlan: {id: 20, link: br0}}",
            "is in itself, through",
        ),
        (
            "{name: bond0, bond: {members: [@1]}}",
            "{name: vlan20, vlan: {id: 20, link: bnod0}}",
            "6: no interface 'bnod0', did you mean 'bond0'?",
        ),
        (
            "{name: bond0, bond: {members: [@1]}}",
            "{name: br0, bridge: {members: [@1]}}",
            "@1 is a member for the second time",
        ),
        (
            "{name: lan0, mac: @1}",
            "{name: br0, bridge: {members: [lan0, @1]}}",
            "6: lan0 is a member for the second time",
        ),
        (
            "{name: bond0, bond: {members: [@1]}}",
            "{mac: @1, addresses: [192.0.2.7/24]}",
            "6: @1 is a member: addresses belong to what it is in",
        ),
        (
            "{name: bond0, bond: {members: [@1]}}",
            "{name: vlan20, vlan: {id: 20, link: @1}}",
            "5: @1 carries a VLAN: put it on bond0",
        ),
        (
            "{name: br0, bridge: {}}",
            "{name: bond0, bond: {members: [br0]}}",
            "6: br0 is a bridge, of which no bond can be made",
        ),
        (
            "{name: br0, bridge: {}}",
            "{name: br1, bridge: {members: [br0]}}",
            "br0 is a bridge, of which no bridge",
        ),
        (
            "{name: v2, vlan: {id: 2, link: @1}}",
            "{name: v3, vlan: {id: 3, link: v2}}",
            "v2 is a vlan, of which no vlan can be made",
        ),
        (
            "{name: v2, vlan: {id: 2, link: @1}}",
            "{name: v3, vlan: {id: 2, link: @1}}",
            "6: vlan 2 of @1 is there twice",
        ),
        (
            "{name: lan0, mac: @1}",
            "{name: v2, mtu: 9000, vlan: {id: 2, link: lan0}}",
            "6: MTU 9000 does not fit through lan0, which has 1500",
        ),
    ],
)
def test_interfaces_that_contradict_each_other(first: str, second: str, expected: str) -> None:
    assert with_macs(expected) in problem(first, second)
