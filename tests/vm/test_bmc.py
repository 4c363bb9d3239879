# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap deploy` switches nodes on, one by Redfish and one by IPMI, and they install."""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

import pytest
from tests.bmc import ipmi, redfish
from tests.bmc.virtual import VirtualMachine
from tests.vm.systems import BUILD, DEMO

from swarmstrap.units import Bytes, GiB
from swarmstrap_server import cli
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import demo, files, fleet, lab_site
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network, network
from swarmstrap_server.lab.serving import serving
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

WORK = BUILD / "vm" / "bmc"
REDFISH_PORT, IPMI_PORT = 8000, 623
_SECONDS = 900.0


async def test_deploy_switches_nodes_on_by_redfish_and_by_ipmi(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demo.prepare(DEMO)
    nonce = secrets.token_hex(16)
    nodes = fleet.parse(
        ("uefi,virtio-blk", "bios,virtio-blk"), memory=GiB, disk=Bytes(8 * GiB), cpus=2
    )
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), WORK / "speed")
    async with contextlib.AsyncExitStack() as stack:
        net = await stack.enter_async_context(network(len(nodes)))
        lab = LabSite(layout="default", finish="reboot", seeder_rate="", nonce=nonce)
        paths = lab_site.make(WORK / "site", read_site(DEMO / "site"), lab, net, nodes)
        _power(paths, str(net.server), [node.name for node in nodes])
        first, second = machines = [
            _machine(node, net, tap, speed, nonce)
            for node, tap in zip(nodes, net.taps, strict=True)
        ]
        await stack.enter_async_context(serving(paths, net))
        address, inside = str(net.server), net.name
        await stack.enter_async_context(
            redfish.bmc(first, tmp_path / "first", paths, address, REDFISH_PORT, netns=inside)
        )
        await stack.enter_async_context(
            ipmi.bmc(second, tmp_path / "second", address, IPMI_PORT, netns=inside)
        )
        command = ["--site", str(paths.root), "deploy", demo.IMAGE, "--to", "all"]
        command += ["--wait", "--window", "1/5s"]
        async with asyncio.timeout(_SECONDS):
            status = await asyncio.to_thread(cli.main, command)
            await asyncio.gather(*(machine.running for machine in machines if machine.running))
    print(said := capsys.readouterr().out)
    assert status == 0
    assert f"{demo.IMAGE}:" in said
    assert "to 2 nodes: all done in " in said
    for machine in machines:
        assert machine.asked == ["network", "on"]
        assert [end.reason for end in machine.ends] == ["exited", "exited"], machine.ends


def _machine(node: VirtualNode, net: Network, tap: str, speed: Speed, nonce: str) -> VirtualMachine:
    kept = files.prepare(node, WORK / node.name)
    return VirtualMachine(node, kept, net, tap, speed, nonce)


def _power(paths: SitePaths, address: str, names: list[str]) -> None:
    (paths.root / "groups.yaml").write_text(
        "groups:\n"
        f"- name: by-redfish\n  members: [{names[0]}]\n"
        f"  power: {{driver: redfish, address: 'https://{address}:{REDFISH_PORT}', "
        f"username: {redfish.USER}, password_file: keys/redfish, verify: keys/ca.crt}}\n"
        f"- name: by-ipmi\n  members: [{names[1]}]\n"
        f"  power: {{driver: ipmi, address: {address}, username: {ipmi.USER}, "
        f"password_file: keys/ipmi, cipher: {ipmi.CIPHER}, boot: bios}}\n"
    )
    for name, password in (("redfish", redfish.PASSWORD), ("ipmi", ipmi.PASSWORD)):
        path = paths.keys / name
        path.write_text(f"{password}\n")
        path.chmod(0o600)
