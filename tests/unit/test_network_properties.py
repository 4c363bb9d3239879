# SPDX-License-Identifier: GPL-2.0-or-later
"""A network is refused, or every file is one and nothing that was written is lost."""

import configparser
from collections.abc import Sequence
from typing import get_args

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Boot, Cpu, Inventory, Nic
from swarmstrap.manifest import Facts, NetworkStack
from swarmstrap.networks.checks import network_findings
from swarmstrap.networks.files import network_files
from swarmstrap.networks.values import Bond, Bridge, Interface, NicMatch, Route, Vlan
from swarmstrap.placing import Identity
from swarmstrap.steps.system import WriteFile

MACS = tuple(f"52:54:00:00:00:0{digit}" for digit in range(1, 5))
REFERENCES = st.sampled_from((*MACS, "bond0", "br0", "vlan20", "lan0"))
MATCHES = st.none() | st.builds(NicMatch, driver=st.sampled_from(["", "ixgbe", "tg3"]))
MEMBERS = st.lists(REFERENCES, max_size=2).map(tuple)
ANYTHING = st.builds(
    Interface,
    name=st.sampled_from(["", "bond0", "br0", "vlan20", "lan0"]),
    mac=st.sampled_from(["", *MACS]),
    match=MATCHES,
    bond=st.none() | st.builds(Bond, members=MEMBERS, match=MATCHES),
    bridge=st.none() | st.builds(Bridge, members=MEMBERS),
    vlan=st.none() | st.builds(Vlan, id=st.sampled_from([20, 30]), link=REFERENCES),
    dhcp=st.sampled_from([None, True, False]),
    addresses=st.sampled_from([(), ("192.0.2.7/24",)]),
)
ADDRESSED = st.builds(
    Interface,
    dhcp=st.just(False),
    addresses=st.sampled_from(
        [("192.0.2.7/24", "2001:db8::7/64", "192.0.2.8/24"), ("2001:db8::7/64", "192.0.2.7/24")]
    ),
    gateway=st.sampled_from(["", "192.0.2.1", ("2001:db8::1", "192.0.2.1")]),
    routes=st.sampled_from([(), (Route(to="198.51.100.0/24", via="192.0.2.2", metric=7),)]),
    dns=st.sampled_from([(), ("192.0.2.53", "2001:db8::53")]),
    search=st.sampled_from([(), ("example.net",)]),
    mtu=st.sampled_from([None, 1400]),
)
SPEAKING = ADDRESSED | st.builds(Interface)
MACHINE = Inventory(
    boot=Boot(current_boot_mode="bios"),
    cpu=Cpu(architecture="x86_64"),
    interfaces=tuple(Nic(name=mac, mac_address=mac, driver="ixgbe") for mac in MACS),
)
STACKS = st.sampled_from([stack for stack in get_args(NetworkStack) if stack != "none"])


@st.composite
def sound(draw: st.DrawFn) -> list[Interface]:
    """Bonds of two NICs or NICs alone, VLANs on some, and perhaps a bridge of those."""
    network: list[Interface] = []
    bridged: list[str] = []
    for first, pair in ((20, MACS[:2]), (30, MACS[2:])):
        link = draw(st.sampled_from([f"bond{first}", pair[0]]))
        own = draw(SPEAKING)
        if link in pair:
            network.append(msgspec.structs.replace(own, mac=link))
        else:
            network.append(msgspec.structs.replace(own, name=link, bond=Bond(members=pair)))
        for tag in range(first, first + draw(st.integers(0, 2))):
            vlan = Interface(name=f"vlan{tag}", vlan=Vlan(id=tag, link=link))
            if draw(st.booleans()):
                bridged.append(vlan.name)
                network.append(vlan)
            else:
                tagged = draw(SPEAKING)
                network.append(
                    msgspec.structs.replace(tagged, name=vlan.name, vlan=vlan.vlan, mtu=None)
                )
    if bridged:
        bridge = Bridge(members=tuple(bridged))
        network.append(msgspec.structs.replace(draw(SPEAKING), name="br0", bridge=bridge))
    return draw(st.permutations(network))


def written(stack: NetworkStack, network: Sequence[Interface]) -> list[WriteFile]:
    facts = Facts(network_stack=stack, resolver="resolvconf")
    return list(network_files(facts, network, MACHINE, Identity("d", "n")))


def words(file: WriteFile) -> set[str]:
    """The values in a file of the form that its reader knows; raises for any other form."""
    if file.path.endswith(".yaml"):
        return set(leaves(yaml.safe_load(file.content)))
    if file.path.endswith((".network", ".netdev", ".link", ".nmconnection")):
        # A key may be there more than once, which this parser would lose.
        configparser.RawConfigParser(strict=False).read_string(file.content)
    return set(file.content.replace("=", " ").replace(";", " ").replace(",", " ").split())


def leaves(value: object) -> list[str]:
    match value:
        case dict():
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        case list():
            return [leaf for inner in value for leaf in leaves(inner)]
        case _:
            return [str(value)]


@given(network=st.lists(ANYTHING, min_size=1, max_size=4), stack=STACKS)
def test_what_is_not_refused_is_written(network: list[Interface], stack: NetworkStack) -> None:
    try:
        files = written(stack, network)
    except SwarmstrapError:
        return
    assert network_findings(network) == []
    assert len({file.path for file in files}) == len(files)
    assert all(words(file) for file in files)


@given(network=sound(), stack=STACKS)
def test_nothing_that_was_written_is_lost(network: list[Interface], stack: NetworkStack) -> None:
    assert network_findings(network) == []
    found = set().union(*(words(file) for file in written(stack, network)))
    for interface in network:
        hosts = [*interface.gateways, *interface.dns, *(route.via for route in interface.routes)]
        hosts += [route.to for route in interface.routes]
        assert set(hosts) <= found
        for address in interface.addresses:
            assert {address, address.partition("/")[0]} & found
        assert not interface.mtu or str(interface.mtu) in found
        assert set(interface.search) <= {word.strip('"') for word in found}
        for mac in (interface.mac, *interface.members):
            assert ":" not in mac or any(mac in word for word in found)
