# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual nodes as values: what is refused, what QEMU is told, what the decoy gives away."""

import asyncio
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.units import Bytes, MiB
from swarmstrap_server.lab.files import DECOY_BYTES, decoy_change, new_tpm, prepare
from swarmstrap_server.lab.machines import (
    SECURE_OVMF,
    BadSpot,
    Bus,
    KernelBoot,
    PowerOn,
    VirtualDisk,
    VirtualNode,
)
from swarmstrap_server.lab.qemu import Channels, qemu_argv
from swarmstrap_server.lab.speed import Speed
from swarmstrap_server.lab.tpm import chip

NODE = VirtualNode(
    name="node",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000077",
    disk=Bytes(16 * MiB),
)
CHANNELS = Channels(serial=3, report=4, monitor=5)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a,file=/etc/shadow"},
        {"name": "a-name-too-long-for-a-serial"},
        {"mac": "52:54:00:77:00:01,romfile=x"},
        {"more_nics": ("52:54:00:77:00:02", "eth1")},
        {"uuid": "not-a-uuid"},
        {"bus": "floppy"},
        {"firmware": "coreboot"},
        {"nic": "virtio-net-pci,netdev=other"},
        {"sector": 520},
        {"bus": "sata", "sector": 4096},
        {"more_disks": (VirtualDisk(name="a,file=x", bus="nvme"),)},
        {"more_disks": (VirtualDisk(name="other", bus="sata", sector=4096),)},
        {"firmware": "bios", "ipxe_rom": False},
        {"firmware": "uefi", "secure_boot": True},
        {"firmware": "uefi", "bus": "megasas"},
        {"firmware": "bios", "secure_boot": True},
    ],
)
def test_what_qemu_cannot_build_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="virtual node"):
        replace(NODE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bus", "devices"),
    [
        ("virtio-blk", ["virtio-blk-pci,drive=disk0", "virtio-blk-pci,drive=disk1"]),
        ("nvme", ["nvme,drive=disk0", "nvme,drive=disk1"]),
        ("sata", ["ide-hd,bus=ide.0,drive=disk0", "ide-hd,bus=ide.1,drive=disk1"]),
        (
            "virtio-scsi",
            [f"scsi-hd,bus=virtio-scsi.0,scsi-id={n},drive=disk{n}" for n in (0, 1)],
        ),
        ("megasas", [f"scsi-hd,bus=megasas.0,scsi-id={n},drive=disk{n}" for n in (0, 1)]),
    ],
)
def test_both_disks_hang_on_the_bus_in_attach_order(
    tmp_path: Path, bus: Bus, devices: list[str]
) -> None:
    node = replace(NODE, bus=bus)
    files = prepare(node, tmp_path)
    argv = qemu_argv(node, files.power_on("tcg", decoy_first=True), CHANNELS)
    disks = [word for word in argv if "drive=disk" in word]
    assert disks == [
        f"{devices[0]},id=disk-node-decoy,serial=node-decoy",
        f"{devices[1]},id=disk-node-system,serial=node-system,bootindex=2",
    ]


def _attached(argv: list[str]) -> list[str]:
    """Of each disk its bus or controller, serial, and what follows."""
    return [
        f"{word.split(',')[0]} {word.partition('serial=')[2]}"
        for word in argv
        if ",serial=" in word
    ]


def test_disks_of_unlike_buses_are_attached_in_reverse_for_the_second_time(tmp_path: Path) -> None:
    boot = VirtualDisk(name="boot", bus="sata", size=Bytes(2 * MiB))
    node = replace(NODE, bus="megasas", more_disks=(boot,), decoys=2)
    files = prepare(node, tmp_path)
    assert files.disks["boot"].path.stat().st_size == 2 * MiB
    order = [
        "scsi-hd node-decoy",
        "scsi-hd node-decoy2",
        "scsi-hd node-system,bootindex=2",
        "ide-hd node-boot,bootindex=3",
    ]
    argv = qemu_argv(node, files.power_on("tcg", decoy_first=True), CHANNELS)
    assert _attached(argv) == order
    assert argv.count("megasas,id=megasas") == 1
    argv = qemu_argv(node, files.power_on("tcg", decoy_first=False), CHANNELS)
    assert _attached(argv) == order[::-1]


def test_a_disk_that_was_removed_is_not_attached(tmp_path: Path) -> None:
    node = replace(NODE, more_disks=(VirtualDisk(name="second", bus="nvme"),))
    power = prepare(node, tmp_path).power_on("tcg", decoy_first=False, removed="system")
    argv = qemu_argv(node, power, CHANNELS)
    assert _attached(argv) == ["nvme node-second,bootindex=3", "virtio-blk-pci node-decoy"]


def test_bad_spots_are_rules_of_their_disk_alone(tmp_path: Path) -> None:
    spots = BadSpot("read", 0), BadSpot("write", 4 * MiB)
    files = prepare(replace(NODE, bad=spots), tmp_path / "a,b")
    argv = qemu_argv(NODE, files.power_on("tcg", decoy_first=True), CHANNELS)
    decoy, system = (word for word in argv if word.startswith("if=none"))
    assert "blkdebug" not in decoy
    _, *words = system.split(",file.")
    assert words == [
        "driver=blkdebug",
        "image.driver=file",
        f"image.filename={tmp_path}/a,,b/system.raw",
        *(
            f"inject-error.0.{rule}"
            for rule in ("event=none", "iotype=read", "errno=5", "sector=0")
        ),
        *(
            f"inject-error.1.{rule}"
            for rule in ("event=none", "iotype=write", "errno=5", "sector=8192")
        ),
    ]


def test_the_network_is_tried_before_the_disk() -> None:
    argv = qemu_argv(NODE, PowerOn(accelerator="tcg", tap="tap0"), CHANNELS)
    assert f"virtio-net-pci,netdev=net0,mac={NODE.mac},bootindex=1" in argv
    assert "tap,id=net0,ifname=tap0,script=no,downscript=no" in argv


def test_nics_of_a_node_share_a_cable_and_only_the_first_boots() -> None:
    second = "52:54:00:77:00:99"
    node = replace(NODE, more_nics=(second,))
    argv = qemu_argv(node, PowerOn(accelerator="tcg", tap="tap0"), CHANNELS)
    assert [word for word in argv if "mac=" in word] == [
        f"virtio-net-pci,netdev=net0,mac={NODE.mac},bootindex=1",
        f"virtio-net-pci,netdev=net1,mac={second},romfile=",
    ]
    ports = [word for word in argv if word.startswith("hubport,")]
    assert ports == [
        "hubport,id=port,hubid=0,netdev=cable",
        "hubport,id=net0,hubid=0",
        "hubport,id=net1,hubid=0",
    ]


def test_a_comma_in_a_path_does_not_become_an_option(tmp_path: Path) -> None:
    files = prepare(NODE, tmp_path / "a,readonly=on")
    argv = qemu_argv(NODE, files.power_on("tcg", decoy_first=True), CHANNELS)
    assert all("a,,readonly=on" in word for word in argv if "readonly" in word)
    assert sum("readonly" in word for word in argv) == 2


def test_uefi_writes_its_variables_to_the_node_s_own_copy(tmp_path: Path) -> None:
    node = replace(NODE, firmware="uefi")
    files = prepare(node, tmp_path)
    argv = qemu_argv(node, files.power_on("tcg", decoy_first=False), CHANNELS)
    writable = [word for word in argv if "if=pflash" in word and "readonly=off" in word]
    assert writable == [f"if=pflash,format=raw,readonly=off,file={tmp_path}/uefi-vars.fd"]


def test_secure_boot_begins_with_enrolled_keys_that_only_firmware_changes(tmp_path: Path) -> None:
    node = replace(NODE, firmware="uefi", ipxe_rom=False, secure_boot=True)
    files = prepare(node, tmp_path)
    assert files.uefi_vars is not None
    assert files.uefi_vars.read_bytes() == SECURE_OVMF.variables.read_bytes()
    argv = qemu_argv(node, files.power_on("tcg", decoy_first=False), CHANNELS)
    assert f"if=pflash,format=raw,readonly=on,file={SECURE_OVMF.code}" in argv
    assert "q35,accel=tcg,smm=on" in argv
    assert "driver=cfi.pflash01,property=secure,value=on" in argv


def test_a_tpm2_that_keeps_what_it_was_told_until_it_is_another_one(tmp_path: Path) -> None:
    files = prepare(replace(NODE, tpm=True), tmp_path)
    assert files.tpm is not None
    (files.tpm / "tpm2-00.permall").touch()
    power = files.power_on("tcg", decoy_first=True)
    assert power.tpm == files.tpm
    argv = qemu_argv(NODE, power, replace(CHANNELS, tpm=6))
    assert "socket,id=tpm,fd=6" in argv
    assert "tpm-crb,tpmdev=tpm0" in argv
    assert list(new_tpm(tmp_path).iterdir()) == []
    assert new_tpm(tmp_path) == files.tpm


@pytest.mark.skipif(shutil.which("swtpm") is None, reason="needs swtpm")
async def test_the_chip_runs_as_long_as_it_is_plugged_in(tmp_path: Path) -> None:
    get_capability = struct.pack(">I", 1)
    async with chip("node", new_tpm(tmp_path), logs=tmp_path) as plug:
        plug.settimeout(10)
        await asyncio.to_thread(plug.sendall, get_capability)
        assert (await asyncio.to_thread(plug.recv, 64))[:4] == bytes(4)
    assert plug.fileno() == -1


def test_a_kernel_given_is_started_at_once() -> None:
    boot = KernelBoot(Path("/k"), Path("/i"), "console=ttyS0 panic=-1")
    argv = qemu_argv(NODE, PowerOn(accelerator="kvm", kernel=boot), CHANNELS)
    at = argv.index("-kernel")
    assert argv[at : at + 6] == ["-kernel", "/k", "-initrd", "/i", "-append", boot.arguments]
    assert "host" in argv


def test_the_first_changed_byte_of_the_decoy_is_found(tmp_path: Path) -> None:
    decoy = prepare(NODE, tmp_path).decoy
    assert decoy_change(decoy) is None
    for offset in (DECOY_BYTES - 1, 12345, 0):
        with decoy.path.open("r+b") as disk:
            disk.seek(offset)
            disk.write(b"\0")
        assert decoy_change(decoy) == offset


def test_a_decoy_of_another_size_has_changed(tmp_path: Path) -> None:
    decoy = prepare(NODE, tmp_path).decoy
    with decoy.path.open("ab") as disk:
        disk.write(b"x")
    assert decoy_change(decoy) == DECOY_BYTES
    with decoy.path.open("r+b") as disk:
        disk.truncate(5)
    assert decoy_change(decoy) == 5


def test_deadlines_grow_with_a_slow_machine_and_never_shrink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert Speed("tcg", 1.0).deadline(60) == 60
    assert Speed("tcg", 2.5).deadline(60) == 150
    assert Speed("tcg", 2.0).deadline(60, guests=3) == 180
