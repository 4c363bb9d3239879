# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware that runs only what is signed: shim and GRUB by TFTP, the installer, the own disk.

A whole deployment is the row secure-boot of the hardware matrix.
"""

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from tests.http.conftest import SYSTEM

from swarmstrap import cmdline
from swarmstrap.units import Bytes, MiB
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab.files import NodeFiles, prepare
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import BRIDGE, Network, network
from swarmstrap_server.lab.probe import tiny_boot
from swarmstrap_server.lab.speed import measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.netboot import dhcp, dnsmasq
from swarmstrap_server.netboot.grub import GrubFolder
from swarmstrap_server.process import Child
from swarmstrap_server.run import run
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.checks import dhcp_settings
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

KERNEL = Path("/boot") / f"vmlinuz-{newest_kernel()}"
PROOF = "this is the proof"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
NODE = VirtualNode(
    name="secure",
    mac="52:54:00:77:00:01",
    uuid="4c4c4544-0042-3510-8053-000000000077",
    firmware="uefi",
    bus="nvme",
    disk=Bytes(64 * MiB),
    memory=Bytes(512 * MiB),
    ipxe_rom=False,
    secure_boot=True,
)
# The proof of a boot from the network: what the kernel was told, and whether it trusts root.
INIT = f"""
mount -t securityfs security /sys/kernel/security
report "$(cat /proc/cmdline)"
report "$(cat /sys/kernel/security/lockdown)"
report "{PROOF}"
poweroff -f
"""
STARTED = re.compile(r"BdsDxe: starting Boot\w+ .*-system|iPXE initialising devices")


@dataclass
class Heard:
    """What one power-on left behind."""

    ended: Ended
    reports: list[str]
    lines: list[str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where dnsmasq, which is nobody, may read."""
    with tempfile.TemporaryDirectory(prefix="ss-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def make_site(folder: Path, net: Network, nodes: str, mode: dhcp.Mode) -> SitePaths:
    """A site that can arm an image, whose installer is a kernel that only reports."""
    paths = SitePaths(folder / "site")
    newsite.init(paths.root, "test", [str(net.server)], None)
    first, last = net.pool()
    leased = f" range: [{first}, {last}], router: {net.server}," if mode == "full" else ""
    paths.settings.write_text(
        f"name: test\naddress: {net.server}\ndiscovery: false\n"
        f"installer_arguments: panic=-1\n"
        f"dhcp: {{mode: {mode}, interface: {BRIDGE}, network: {net.address.network},"
        f"{leased} secure_boot: true}}\n"
    )
    (paths.root / "nodes" / "lab.yaml").write_text(f"nodes:\n- {nodes}\n")
    tiny_boot(KERNEL, paths.initramfs, INIT)
    shutil.copyfile(KERNEL, paths.kernel)
    for name, content in SYSTEM.items():
        (folder / "system" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "system" / name).write_bytes(content)
    images = ImageStore(paths.images)
    publish(Directory(folder / "system"), "tiny", "1", images, Key(paths.publisher))
    return paths


@contextlib.asynccontextmanager
async def served(
    folder: Path, net: Network, nodes: str, mode: dhcp.Mode = "full"
) -> AsyncIterator[Deployments]:
    """What `swarmstrap serve` does for such nodes, without its listeners."""
    paths = make_site(folder, net, nodes, mode)
    site = read_site(paths.root)
    wanted = dhcp_settings(site.settings)
    assert wanted is not None
    with contextlib.closing(Store(paths.database)) as store:
        deployments = Deployments(site, store, ImageStore(paths.images))
        GrubFolder(deployments).keep()
        serving = asyncio.create_task(
            dnsmasq.serve(wanted, paths.run, tftp=paths.boot, netns=net.name)
        )
        try:
            yield deployments
            assert not serving.done(), serving
        finally:
            serving.cancel()
            await asyncio.wait([serving])


async def power_on(node: VirtualNode, files: NodeFiles, net: Network, end: End) -> Heard:
    """The proof is a report line, or that the disk is started, or iPXE."""
    speed = await measure(KERNEL, Path("build/lab"))
    reports: list[str] = []
    lines: list[str] = []

    def take_report(line: str) -> bool:
        reports.append(line)
        return line == PROOF

    def take_line(line: str) -> None:
        lines.append(line)
        if STARTED.search(line):
            guest.prove()

    power = files.power_on(speed.accelerator, decoy_first=True, netns=net.name, tap=net.taps[0])
    async with powered_on(
        node, power, logs=files.folder, on_line=take_line, on_report=take_report
    ) as guest:
        limit = speed.deadline(240)
        return Heard(await guest.ended(Expected(end, limit, limit)), reports, lines)


@pytest.mark.parametrize(
    "known_by", [f"mac: {NODE.mac}", f"uuid: {NODE.uuid}"], ids=["mac", "uuid"]
)
async def test_an_armed_node_boots_the_signed_kernel_with_its_lease(
    folder: Path, known_by: str
) -> None:
    files = prepare(NODE, folder / "node")
    nodes = f"{{name: secure, {known_by}}}"
    async with network(1) as net, served(folder, net, nodes) as deployments:
        deployments.arm(Arm(nodes=("secure",), image="tiny"))
        heard = await power_on(NODE, files, net, "power-off")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])
    settings = cmdline.parse(heard.reports[0])
    assert (settings.boot_mac, settings.server) == (NODE.mac, f"https://{net.server}:8443")
    assert settings.lease is not None
    assert IPv4Interface(settings.lease.address).network == net.address.network
    assert settings.lease.gateway == str(net.server)
    assert "[integrity]" in heard.reports[1]


async def test_a_node_that_is_not_armed_any_more_boots_its_own_disk(folder: Path) -> None:
    files = prepare(NODE, folder / "node")
    # Any signed program will do: that the firmware starts it from this disk is the proof.
    image = f"-i{files.system.path}"
    run(["mformat", image, "::"], timeout=10)
    run(["mmd", image, "::EFI", "::EFI/BOOT"], timeout=10)
    nodes = f"{{name: secure, mac: {NODE.mac}}}"
    async with network(1) as net, served(folder, net, nodes) as deployments:
        shim = deployments.site.paths.boot / "shimx64.efi"
        run(["mcopy", image, shim, "::EFI/BOOT/BOOTX64.EFI"], timeout=10)
        deployments.arm(Arm(nodes=("secure",), image="tiny"))
        deployments.disarm(["secure"])
        heard = await power_on(NODE, files, net, "proof")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])
    assert any("PXE-E23" in line for line in heard.lines), "it got a program by TFTP"


async def test_firmware_that_asks_for_no_signature_goes_on_to_ipxe(folder: Path) -> None:
    node = replace(NODE, secure_boot=False)
    files = prepare(node, folder / "node")
    nodes = f"{{name: secure, mac: {NODE.mac}}}"
    async with network(1) as net, served(folder, net, nodes) as deployments:
        deployments.arm(Arm(nodes=("secure",), image="tiny"))
        heard = await power_on(node, files, net, "proof")
    assert heard.ended.good, (heard.ended, heard.lines[-20:])


async def test_a_node_boots_by_the_lines_in_somebody_else_s_dhcp_server(folder: Path) -> None:
    files = prepare(NODE, folder / "node")
    nodes = f"{{name: secure, mac: {NODE.mac}}}"
    async with network(1) as net, served(folder, net, nodes, "tftp") as deployments:
        deployments.arm(Arm(nodes=("secure",), image="tiny"))
        first, last = net.pool()
        config = folder / "other.conf"
        config.write_text(
            f"port=0\nno-ping\nlog-facility=-\ninterface={BRIDGE}\nbind-interfaces\n"
            f"dhcp-range={first},{last}\npid-file={folder}/other.pid\n"
            f"dhcp-leasefile={folder}/other.leases\n"
            + dhcp.lines_for("dnsmasq", net.server, 8080, secure_boot=True)
        )
        argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"]
        log = folder / "other.log"
        other = await Child.start("another DHCP server", argv, log_file=log, netns=net.name)
        try:
            heard = await power_on(NODE, files, net, "power-off")
        finally:
            await other.stop()
    assert heard.ended.good, (heard.ended, heard.lines[-20:], other.last_words())
    assert cmdline.parse(heard.reports[0]).lease is None, "GRUB knows no more than the address"
