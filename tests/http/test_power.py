# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching machines by the protocols themselves, against simulators of BMCs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.bmc import ipmi, redfish
from tests.bmc.chassis import Toy
from tests.http.conftest import ADDRESS, Live, free_ports, serving

from swarmstrap.errors import BadInput, Refused
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.power.commands import by_exec, by_ipmi, by_ssh
from swarmstrap_server.power.driver import Driver, PowerFailed
from swarmstrap_server.power.orders import PowerOrder
from swarmstrap_server.power.redfish import RedfishMachine
from swarmstrap_server.power.switching import Waits, start_anew, turn_off, turn_on
from swarmstrap_server.power.wol import Waker, packet
from swarmstrap_server.power.words import Exec, Ipmi, Redfish, Ssh, Wol
from swarmstrap_server.rollouts.values import Order
from swarmstrap_server.site.paths import SitePaths

WAITS = Waits(off=0.5, kill=60.0, on=60.0, poll=0.1)
SECONDS = 180.0
REDFISH = Redfish(
    address="", username=redfish.USER, password_file="redfish.pw", verify="keys/ca.crt"
)
IPMI = Ipmi(address=ADDRESS, username=ipmi.USER, password_file="ipmi.pw", cipher=ipmi.CIPHER)


def password(site: SitePaths, name: str, text: str) -> None:
    path = site.root / name
    path.write_text(f"{text}\n")
    path.chmod(0o600)


@pytest.fixture
async def by_redfish(site: SitePaths, tmp_path: Path) -> AsyncIterator[tuple[Toy, Redfish]]:
    toy, (port,) = Toy(), free_ports(1)
    password(site, "redfish.pw", redfish.PASSWORD)
    async with redfish.bmc(toy, tmp_path / "redfish", site, ADDRESS, port):
        yield toy, replace(REDFISH, address=f"https://{ADDRESS}:{port}")


@pytest.fixture
async def over_ipmi(site: SitePaths, tmp_path: Path) -> AsyncIterator[tuple[Toy, Ipmi]]:
    toy, (port,) = Toy(), free_ports(1)
    password(site, "ipmi.pw", ipmi.PASSWORD)
    async with ipmi.bmc(toy, tmp_path / "ipmi", ADDRESS, port):
        yield toy, replace(IPMI, port=port)


async def check_switching(machine: Driver, toy: Toy) -> None:
    """On from the network, and off against the system's will."""
    assert await machine.state() == "off"
    await start_anew(machine, WAITS)
    assert await machine.state() == "on"
    assert toy.asked == ["network", "on"]
    toy.stops = False
    await turn_off(machine, WAITS)
    assert toy.asked[2:] == ["off", "kill"]


async def test_redfish(site: SitePaths, by_redfish: tuple[Toy, Redfish]) -> None:
    toy, words = by_redfish
    machine = RedfishMachine(words, site.root)
    await check_switching(machine, toy)
    named = RedfishMachine(replace(words, system=redfish.SYSTEM), site.root)
    assert await named.state() == "off"

    wrong = RedfishMachine(replace(words, username="nobody"), site.root)
    with pytest.raises(PowerFailed, match=r"the BMC https.* was asked for on"):
        await wrong.do("on")
    unknown = RedfishMachine(replace(words, verify=True), site.root)
    with pytest.raises(PowerFailed, match="was asked for state"):
        await unknown.state()
    assert toy.asked[2:] == ["off", "kill"]


async def test_ipmi(site: SitePaths, over_ipmi: tuple[Toy, Ipmi]) -> None:
    toy, words = over_ipmi
    machine = by_ipmi(words, site.root)
    await check_switching(machine, toy)

    wrong = by_ipmi(replace(words, username="nobody"), site.root)
    with pytest.raises(PowerFailed, match=f"the BMC {ADDRESS}") as refused:
        await wrong.do("on")
    assert ipmi.PASSWORD not in str(refused.value)
    assert toy.asked[2:] == ["off", "kill"]


def test_a_password_that_others_may_read_is_not_used(site: SitePaths) -> None:
    password(site, "ipmi.pw", "x")
    (site.root / "ipmi.pw").chmod(0o644)
    with pytest.raises(BadInput, match=r"others may read .*ipmi\.pw"):
        by_ipmi(IPMI, site.root)
    with pytest.raises(BadInput, match="missing cannot be read: No such file"):
        by_ipmi(replace(IPMI, password_file="missing"), site.root)


async def test_a_command_that_fails_says_what_it_said() -> None:
    broken = by_exec(Exec(on=("sh", "-c", "echo no such outlet >&2; exit 3")), "n1")
    with pytest.raises(PowerFailed, match="status 3: no such outlet"):
        await turn_on(broken, WAITS)
    with pytest.raises(Refused, match="no way to do this: off"):
        await turn_off(broken, WAITS)


async def test_a_machine_that_stays_on_is_named() -> None:
    stubborn = by_exec(Exec(off=("true",), kill=("true",), state=("echo", "on")), "n1")
    waits = Waits(off=0.2, kill=0.2, on=0.2, poll=0.05)
    with pytest.raises(PowerFailed, match="the machine is not off after 0 s"):
        await turn_off(stubborn, waits)


async def test_ssh_asks_a_host_that_is_known_already() -> None:
    words = Ssh(host="hv1", user="op", key="keys/hv", known_hosts="keys/hosts", on="virsh start n1")
    machine = by_ssh(words, Path("/site"))
    assert machine.can == {"on"}
    (argv,) = machine._argv.values()
    assert argv[0] == "ssh"
    assert argv[-5:] == ("-l", "op", "--", "hv1", "virsh start n1")
    assert "StrictHostKeyChecking=yes" in argv
    assert 'UserKnownHostsFile="/site/keys/hosts"' in argv
    assert argv[argv.index("-i") + 1] == "/site/keys/hv"


async def test_wake_on_lan() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
        network.bind((ADDRESS, 0))
        network.settimeout(5.0)
        port = network.getsockname()[1]
        macs = frozenset({"52:54:00:12:34:56"})
        waker = Waker(Wol(broadcast=ADDRESS), "n1", macs, port)
        await start_anew(waker, WAITS)
        heard = network.recv(1024)
    assert heard == b"\xff" * 6 + bytes.fromhex("525400123456") * 16
    with pytest.raises(Refused, match="no way to do this: off"):
        await turn_off(waker, WAITS)
    with pytest.raises(BadInput, match="is not a MAC address"):
        packet("52:54:00:12:34")
    with pytest.raises(BadInput, match="n1 has no mac"):
        Waker(Wol(), "n1", frozenset())


async def switched(live: Live, key: str) -> None:
    """Until nobody of the rollout is being switched any more, and all of them are on."""
    states = {"powering"}
    while states != {"booting"}:
        await asyncio.sleep(0.05)
        states = {member.state for member in live.services.rollouts.rollout(key).members}
        assert states <= {"powering", "booting"}


async def test_deploy_switches_one_node_by_redfish_and_one_by_ipmi(
    site: SitePaths, by_redfish: tuple[Toy, Redfish], over_ipmi: tuple[Toy, Ipmi]
) -> None:
    (first, redfish_words), (second, ipmi_words) = by_redfish, over_ipmi
    second.is_on = True
    groups = [
        {"name": "new", "members": ["n1"], "power": msgspec.to_builtins(redfish_words)},
        {"name": "old", "members": ["n2"], "power": msgspec.to_builtins(ipmi_words)},
    ]
    (site.root / "groups.yaml").write_bytes(msgspec.json.encode({"groups": groups}))
    async with serving(site) as live:
        order = Order(arm=Arm(nodes=("new", "old"), image="tiny"))
        begun = await asyncio.to_thread(live.operator.deploy, order)
        await asyncio.wait_for(switched(live, begun.id), SECONDS)
        asked = PowerOrder(nodes=("new", "old"), action="status")
        results = await asyncio.to_thread(live.operator.power, asked)
        events = live.services.deployments.store.events("n2")
    assert [(r.node, r.driver, r.state) for r in results] == [
        ("n1", "redfish", "on"),
        ("n2", "ipmi", "on"),
    ]
    assert first.asked == ["network", "on"]
    assert second.asked == ["network", "off", "on"]
    assert "switched on by ipmi" in [record.event.description for record in events]
