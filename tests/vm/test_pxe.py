# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware to kernel over a network: DHCP, TFTP, iPXE, the boot scripts, the lease handed over."""

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from swarmstrap import cmdline
from swarmstrap.units import Bytes, MiB
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab.files import NodeFiles, prepare
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import BRIDGE, Network, network
from swarmstrap_server.lab.probe import tiny_boot
from swarmstrap_server.lab.speed import measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.netboot import dhcp, dnsmasq
from swarmstrap_server.netboot.dhcp import DhcpSettings
from swarmstrap_server.netboot.templates import fill, template
from swarmstrap_server.process import Child
from swarmstrap_server.run import run

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


# A boot sector that writes to the first serial port what follows it, and halts.
SAYING = "started from its own disk"
UEFI_SAYS = re.compile(r"BdsDxe: starting Boot\w+ .*-system")
BOOT_SECTOR = (
    bytes.fromhex("31c08ed8be157cac84c07406baf803eeebf5f4ebfd") + f"\r\n{SAYING}\r\n\0".encode()
).ljust(510, b"\0") + b"\x55\xaa"


@dataclass
class Heard:
    """What one power-on left behind."""

    ended: Ended
    reports: list[str]
    lines: list[str]


def site(net: Network, folder: Path, script: str) -> Path:
    """What the server would hand to a node, as plain files."""
    www = folder / "www"
    (www / "boot").mkdir(parents=True)
    init = f'report "$(cat /proc/cmdline)"; report "{PROOF}"; poweroff -f'
    tiny_boot(KERNEL, www / "boot/initramfs.img", init)
    shutil.copyfile(KERNEL, www / "boot/vmlinuz")
    values = {
        "BOOT": f"{net.server}:{PORT}",
        "NODE": "node",
        "KERNEL": "/boot/vmlinuz",
        "INITRD": "/boot/initramfs.img",
        "ARGUMENTS": f"swarmstrap.server=https://{net.server}:8443 console=ttyS0,115200 panic=-1",
    }
    (www / "boot/entry.ipxe").write_text(fill(template("entry.ipxe.in"), values))
    (www / "boot/ipxe").write_text(fill(template(script), values))
    return www


@contextlib.asynccontextmanager
async def served(net: Network, folder: Path, script: str, mode: dhcp.Mode) -> AsyncIterator[None]:
    """dnsmasq and a web server inside the network; dnsmasq giving up fails the test."""
    argv: list[str | Path] = [sys.executable, "-m", "http.server", str(PORT)]
    argv += ["--directory", site(net, folder, script)]
    web = await Child.start("web server", argv, log_file=folder / "web.log", netns=net.name)
    settings = DhcpSettings(
        mode=mode,
        interface=BRIDGE,
        server=net.server,
        boot_port=PORT,
        network=net.address.network,
        pool=net.pool() if mode == "full" else None,
        router=net.server,
        ipv6_prefix=net.address6.network,
    )
    serving = asyncio.create_task(dnsmasq.serve(settings, folder / "dhcp", netns=net.name))
    try:
        yield
        assert not serving.done(), serving
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await web.stop()


async def power_on(node: VirtualNode, files: NodeFiles, net: Network, end: End) -> Heard:
    """Boot from the network; the proof is a report line, or the saying on the console."""
    speed = await measure(KERNEL, Path("build/lab"))
    reports: list[str] = []
    lines: list[str] = []

    def take_report(line: str) -> bool:
        reports.append(line)
        return line == PROOF

    def take_line(line: str) -> None:
        lines.append(line)
        if SAYING in line or UEFI_SAYS.search(line):
            guest.prove()

    power = files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=net.taps[0])
    async with powered_on(
        node, power, logs=files.folder, on_line=take_line, on_report=take_report
    ) as guest:
        limit = speed.deadline(150)
        return Heard(await guest.ended(Expected(end, limit, limit)), reports, lines)


@pytest.mark.parametrize(
    "node",
    [BIOS, UEFI, replace(UEFI, ipxe_rom=False), replace(BIOS, nic="e1000")],
    ids=["bios", "uefi", "uefi-over-tftp", "bios-e1000"],
)
async def test_an_armed_node_boots_the_installer_with_its_lease(
    tmp_path: Path, node: VirtualNode
) -> None:
    files = prepare(node, tmp_path / "node")
    async with network(1) as net, served(net, tmp_path, "install.ipxe.in", "full"):
        heard = await power_on(node, files, net, "power-off")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])
    settings = cmdline.parse(heard.reports[0])
    assert settings.boot_mac == node.mac
    assert settings.server == f"https://{net.server}:8443"
    assert settings.lease is not None
    lease = IPv4Interface(settings.lease.address)
    assert lease.network == net.address.network
    assert settings.lease.gateway == str(net.server)


@pytest.mark.parametrize("node", [BIOS, replace(BIOS, bus="nvme"), replace(BIOS, bus="sata")])
async def test_an_unarmed_bios_node_boots_its_own_disk(tmp_path: Path, node: VirtualNode) -> None:
    files = prepare(node, tmp_path / "node")
    with files.system.path.open("r+b") as disk:
        disk.write(BOOT_SECTOR)
    async with network(1) as net, served(net, tmp_path, "local.ipxe.in", "full"):
        heard = await power_on(node, files, net, "proof")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])
    assert "GET /boot/ipxe?" in (tmp_path / "web.log").read_text()


async def test_an_unarmed_uefi_node_boots_its_own_disk(tmp_path: Path) -> None:
    files = prepare(UEFI, tmp_path / "node")
    # Any EFI program will do: that the firmware starts it from this disk is the proof.
    image = f"-i{files.system.path}"
    run(["mformat", image, "::"], timeout=10)
    run(["mmd", image, "::EFI", "::EFI/BOOT"], timeout=10)
    run(["mcopy", image, dhcp.IPXE / "snponly.efi", "::EFI/BOOT/BOOTX64.EFI"], timeout=10)
    async with network(1) as net, served(net, tmp_path, "local.ipxe.in", "full"):
        heard = await power_on(UEFI, files, net, "proof")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])
    assert "GET /boot/ipxe?" in (tmp_path / "web.log").read_text()


@pytest.mark.parametrize("node", [BIOS, replace(UEFI, ipxe_rom=False)], ids=["bios", "uefi"])
async def test_a_node_boots_beside_a_dhcp_server_that_knows_nothing_of_us(
    tmp_path: Path, node: VirtualNode
) -> None:
    files = prepare(node, tmp_path / "node")
    async with network(1) as net, served(net, tmp_path, "install.ipxe.in", "proxy"):
        first, last = net.pool()
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"]
        argv += [f"--interface={BRIDGE}", "--bind-interfaces", f"--dhcp-range={first},{last}"]
        argv += ["--no-ping", f"--pid-file={tmp_path / 'other.pid'}", "--log-facility=-"]
        argv += [f"--dhcp-leasefile={tmp_path / 'other.leases'}"]
        other = await Child.start(
            "another DHCP server", argv, log_file=tmp_path / "other.log", netns=net.name
        )
        try:
            heard = await power_on(node, files, net, "power-off")
        finally:
            await other.stop()
    assert heard.ended.good, (heard.ended, heard.lines[-20:], other.last_words())
