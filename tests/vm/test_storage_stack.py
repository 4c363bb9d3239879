# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual node with three disks makes arrays, LVM, LUKS and btrfs, stops them, makes them anew.

Only there: the kernel of this machine may know neither arrays nor mapped devices.
"""

import json
import os
import secrets
from pathlib import Path

import msgspec
import pytest
from tests.vm import stack_on_node
from tests.vm.systems import BUILD, DEMO

from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout
from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server.installer import initramfs, overlay
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import AttachedDisk, KernelBoot, PowerOn, VirtualNode
from swarmstrap_server.lab.speed import measure
from swarmstrap_server.lab.verdict import Expected
from swarmstrap_server.site.yamlfile import load

HERE = Path(__file__).parent
NODE = VirtualNode(
    name="stack",
    mac="52:54:00:77:00:05",
    uuid="00000000-0000-4000-8000-000000000079",
    memory=Bytes(GiB),
)
SIZE = 2048 * MiB


async def test_a_stack_is_made_stopped_opened_and_made_anew(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("dracut needs root")
    release = initramfs.newest_kernel()
    kernel = Path("/boot", f"vmlinuz-{release}")
    whole = tmp_path / "whole.img"
    layout = load(HERE / "storage-stack.yaml", Layout, name="storage-stack.yaml").value
    check_layout(layout)
    added = {
        "/opt/swarmstrap/swarmstrap/cli.py": (HERE / "stack_on_node.py").read_bytes(),
        stack_on_node.LAYOUT: msgspec.json.encode(layout),
    }
    generic = initramfs.generic(release, DEMO / "site" / "boot" / "cache")
    overlay.append(generic, added, whole)
    speed = await measure(kernel, BUILD / "lab")
    nonce = secrets.token_hex(8)
    heard: list[dict[str, object]] = []

    def on_report(line: str) -> bool:
        told = json.loads(line)
        if told["nonce"] == nonce:
            heard.append(told)
        return bool(heard) and heard[-1]["did"] in ("done", "failed")

    power = PowerOn(
        accelerator=speed.accelerator,
        disks=tuple(blank(tmp_path / serial) for serial in reversed(stack_on_node.SERIALS)),
        kernel=KernelBoot(kernel, whole, f"console=ttyS0,115200 panic=-1 nonce={nonce}"),
    )
    async with powered_on(
        NODE, power, logs=tmp_path, on_line=lambda line: None, on_report=on_report
    ) as guest:
        ended = await guest.ended(Expected("proof", speed.deadline(600), speed.deadline(150)))
    assert ended.good, ended
    assert heard[-1]["did"] == "done", heard[-1].get("error")
    (refused,) = [told for told in heard if told["did"] == "refused what is mounted"]
    assert "is in use: " in str(refused["error"])


def blank(path: Path) -> AttachedDisk:
    with path.open("wb") as file:
        file.truncate(SIZE)
    return AttachedDisk(path, path.name, "virtio-blk")
