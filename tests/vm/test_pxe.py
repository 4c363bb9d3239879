# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware to kernel over a network: DHCP, TFTP, iPXE, the boot scripts, the lease handed over."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from swarmstrap import cmdline
from swarmstrap.units import Bytes, MiB
from swarmstrap_server import dhcp
from swarmstrap_server.dhcp import DhcpSettings
from swarmstrap_server.initramfs import newest_kernel
from swarmstrap_server.lab.files import prepare
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import BRIDGE, Network, network
from swarmstrap_server.lab.probe import tiny_boot
from swarmstrap_server.lab.speed import measure
from swarmstrap_server.lab.verdict import Expected
from swarmstrap_server.process import Child
from swarmstrap_server.templates import fill, template

KERNEL = Path("/boot") / f"vmlinuz-{newest_kernel()}"
PROOF = "this is the proof"
PORT = 8080
BIOS = VirtualNode(
    name="bios",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000077",
    disk=Bytes(16 * MiB),
    memory=Bytes(512 * MiB),
)
UEFI = replace(BIOS, name="uefi", firmware="uefi", bus="nvme")


def site(net: Network, folder: Path) -> Path:
    """What the server would hand to an armed node, as plain files."""
    www = folder / "www"
    (www / "boot").mkdir(parents=True)
    script = f'report "$(cat /proc/cmdline)"; report "{PROOF}"; poweroff -f'
    tiny_boot(KERNEL, www / "boot/initramfs.img", script)
    shutil.copyfile(KERNEL, www / "boot/vmlinuz")
    values = {
        "BOOT": f"{net.server}:{PORT}",
        "NODE": "node",
        "KERNEL": "/boot/vmlinuz",
        "INITRD": "/boot/initramfs.img",
        "ARGUMENTS": f"swarmstrap.server=https://{net.server}:8443 console=ttyS0,115200 panic=-1",
    }
    (www / "boot/entry.ipxe").write_text(fill(template("entry.ipxe.in"), values))
    (www / "boot/ipxe").write_text(fill(template("install.ipxe.in"), values))
    return www


@contextlib.asynccontextmanager
async def served(net: Network, settings: DhcpSettings, folder: Path) -> AsyncIterator[None]:
    """dnsmasq and a web server inside the network; either ending early fails the test."""
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "http.server",
        str(PORT),
        "--directory",
        site(net, folder),
    ]
    web = await Child.start("web server", argv, log_file=folder / "web.log", netns=net.name)
    serving = asyncio.create_task(dhcp.serve(settings, folder / "dhcp", netns=net.name))
    try:
        yield
        assert not serving.done(), serving
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await web.stop()


def full(net: Network) -> DhcpSettings:
    return DhcpSettings(
        mode="full",
        interface=BRIDGE,
        server=net.server,
        boot_port=PORT,
        network=net.address.network,
        pool=net.pool(),
        router=net.server,
        ipv6_prefix=net.address6.network,
    )


@pytest.mark.parametrize(
    "node",
    [BIOS, UEFI, replace(UEFI, ipxe_rom=False), replace(BIOS, nic="e1000")],
    ids=["bios", "uefi", "uefi-over-tftp", "bios-e1000"],
)
async def test_a_node_boots_over_the_network_with_its_lease(
    tmp_path: Path, node: VirtualNode
) -> None:
    speed = await measure(KERNEL, Path("build/lab"))
    said: list[str] = []
    files = prepare(node, tmp_path / "node")

    def take(line: str) -> bool:
        said.append(line)
        return line == PROOF

    async with network(1) as net, served(net, full(net), tmp_path):
        power = files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=net.taps[0])
        async with powered_on(
            node, power, logs=files.folder, on_line=lambda line: None, on_report=take
        ) as guest:
            limit = speed.deadline(60)
            ended = await guest.ended(Expected("power-off", limit, limit))
    assert ended.good, (ended, (files.folder / "serial.log").read_text(errors="replace")[-2000:])
    settings = cmdline.parse(said[0])
    assert settings.boot_mac == node.mac
    assert settings.server == f"https://{net.server}:8443"
    assert settings.lease is not None
    lease = IPv4Interface(settings.lease.address)
    assert lease.network == net.address.network
    assert settings.lease.gateway == str(net.server)
