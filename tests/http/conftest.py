# SPDX-License-Identifier: GPL-2.0-or-later
"""A real site in a folder and a real server on loopback; only the clock is the test's."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.trees import ELF_X86_64

from swarmstrap.effects.http import NodeApi, tls
from swarmstrap.hardware import Boot, Cpu, Disk, Inventory, Memory, Nic, SystemVendor
from swarmstrap.wire import Register
from swarmstrap_server import cli
from swarmstrap_server.app import Services
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.serve import listeners, make_services
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

ADDRESS = "127.0.0.1"
INITRAMFS = bytes(range(256)) * 400
UUID = "4c4c4544-0042-3510-8053-b4c04f4b3132"
MAC = "52:54:00:12:34:56"
CLAIM = "the word of one boot"

NODES = f"""\
nodes:
- name: n1
  mac: {MAC}
  hostname: n1.example
  kernel_arguments: console=ttyS1
- {{name: n2, mac: 52:54:00:00:00:02, uuid: {UUID}, finish: kexec}}
- {{name: n3, mac: 52:54:00:00:00:03}}
"""

# As little as can be planned for: a program, a kernel, GRUB for UEFI.
SYSTEM = {
    "bin/sh": ELF_X86_64,
    "boot/vmlinuz-6.1.0-1-amd64": b"kernel",
    "boot/initrd.img-6.1.0-1-amd64": b"initrd",
    "usr/lib/grub/x86_64-efi/normal.mod": b"module",
    "usr/sbin/grub-install": b"#!/bin/sh\n",
    "data": bytes(range(256)) * 3000,
}


def inventory(mac: str = MAC, uuid: str = "") -> Inventory:
    return Inventory(
        boot=Boot(current_boot_mode="uefi", pxe_interface=mac),
        cpu=Cpu(architecture="x86_64"),
        memory=Memory(total=4 << 30),
        system_vendor=SystemVendor(uuid=uuid),
        disks=(Disk(name="/dev/vda", size=20 << 30, serial="system"),),
        interfaces=(Nic(name="eth0", mac_address=mac, has_carrier=True),),
    )


def register(mac: str = MAC, uuid: str = "") -> Register:
    return Register(inventory=inventory(mac, uuid), boot_id="b", version="0.1.0")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((ADDRESS, 0))
        return [one.getsockname()[1] for one in sockets]


def make_system(root: Path) -> Path:
    for name, content in SYSTEM.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A site with one signed image, made once; the folder's name is short, for its socket."""
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        root = Path(folder) / "site"
        newsite.init(root, "test", [ADDRESS], None)
        system = make_system(Path(folder) / "system")
        key = Key(SitePaths(root).publisher)
        publish(Directory(system), "tiny", "1", ImageStore(root / "images"), key)
        yield root


@pytest.fixture
def site(template: Path) -> Iterator[SitePaths]:
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        paths = SitePaths(Path(folder) / "site")
        shutil.copytree(template, paths.root)
        make_servable(paths)
        (paths.root / "nodes" / "lab.yaml").write_text(NODES)
        yield paths


def make_servable(paths: SitePaths) -> None:
    """Gives the site ports that are free, and an installer."""
    boot, node, operator, seeder, deal = free_ports(5)
    paths.settings.write_text(
        f"name: test\naddress: {ADDRESS}\n"
        f"ports: {{boot: {boot}, node: {node}, operator: {operator}, "
        f"seeder: {seeder}, deal: {deal}}}\n"
    )
    paths.kernel.write_bytes(b"kernel")
    paths.initramfs.write_bytes(INITRAMFS)


class Clock:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Live:
    """A server that answers. `api` is the agent's own client; `http` trusts the site's CA."""

    paths: SitePaths
    services: Services
    clock: Clock
    api: NodeApi
    http: aiohttp.ClientSession
    boot: str
    node: str

    @property
    def operator(self) -> Operator:
        """Blocking: call it through asyncio.to_thread."""
        return Operator(self.paths.socket)

    async def command(self, *arguments: str) -> int:
        """`swarmstrap` on this site; its exit status."""
        return await asyncio.to_thread(cli.main, ["--site", str(self.paths.root), *arguments])


@contextlib.asynccontextmanager
async def serving(site: SitePaths) -> AsyncIterator[Live]:
    read = read_site(site.root)
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        store = stack.enter_context(contextlib.closing(Store(site.database)))
        services = make_services(read, store, clock)
        services.publish()
        await stack.enter_async_context(listeners(read, services))
        connector = aiohttp.TCPConnector(ssl=tls(site.ca_certificate))
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        api = await stack.enter_async_context(
            NodeApi(read.node_url, site.ca_certificate, retrying=lambda *_: None)
        )
        yield Live(site, services, clock, api, http, read.boot_url, read.node_url)


@pytest.fixture
async def live(site: SitePaths) -> AsyncIterator[Live]:
    async with serving(site) as live:
        yield live
