# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU command line that makes a virtual node. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import assert_never

from swarmstrap.units import MiB
from swarmstrap_server.lab.machines import (
    REPORT_PORT,
    AttachedDisk,
    Bus,
    PowerOn,
    VirtualNode,
)

# OVMF tries every network protocol of a NIC before the next device: a minute or two of nobody
# answering when an unarmed node goes on to its disk. Where the NIC has no iPXE, OVMF's own TFTP
# needs IPv4.
_NO_IPV6 = ("IPv6PXESupport", "IPv6Support")
_NO_IPV4 = ("IPv4Support",)

# What the disks of a SCSI bus hang on; on the other buses each disk is a device of its own.
_CONTROLLERS: Mapping[Bus, str] = {
    "virtio-scsi": "virtio-scsi-pci",
    "megasas": "megasas",
    "pvscsi": "pvscsi",
}


@dataclass(frozen=True, slots=True)
class Channels:
    """File descriptors of the connected sockets that QEMU inherits; `tpm` leads to swtpm."""

    serial: int
    report: int
    monitor: int
    tpm: int | None = None


def qemu_argv(node: VirtualNode, power: PowerOn, channels: Channels) -> list[str]:
    """The QEMU command line of one power-on. A reset by the guest ends QEMU, as a power-off does.

    The watchdog pauses the guest rather than ending QEMU, so that the event is surely heard and
    the screen can still be looked at.
    """
    cpu = "host" if power.accelerator == "kvm" else "max"
    argv = ["qemu-system-x86_64", "-name", node.name, "-nodefaults", "-no-user-config"]
    argv += [
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        f"q35,accel={power.accelerator},smm={'on' if node.secure_boot else 'auto'}",
        "-cpu",
        cpu,
    ]
    argv += ["-smp", str(node.cpus), "-m", str(node.memory // MiB), "-uuid", node.uuid]
    argv += ["-device", "VGA", "-device", "i6300esb", "-action", "watchdog=pause"]
    argv += ["-chardev", f"socket,id=monitor,fd={channels.monitor}"]
    argv += ["-mon", "chardev=monitor,mode=control"]
    argv += ["-chardev", f"socket,id=serial,fd={channels.serial}", "-serial", "chardev:serial"]
    argv += ["-chardev", f"socket,id=report,fd={channels.report}", "-device", "virtio-serial-pci"]
    argv += ["-device", f"virtserialport,chardev=report,name={REPORT_PORT}"]
    if channels.tpm is not None:
        argv += ["-chardev", f"socket,id=tpm,fd={channels.tpm}"]
        argv += ["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
    if ovmf := node.ovmf:
        argv += _pflash(ovmf.code, "on") + _pflash(power.uefi_vars or ovmf.variables, "off")
        for switch in _NO_IPV6 + (_NO_IPV4 if node.ipxe_rom else ()):
            argv += ["-fw_cfg", f"name=opt/org.tianocore/{switch},string=no"]
    if node.secure_boot:
        # The variables can be written in system management mode only, so not by the kernel.
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        argv += ["-global", "ICH9-LPC.disable_s3=1"]
    if power.kernel is not None:
        argv += ["-kernel", str(power.kernel.kernel), "-initrd", str(power.kernel.initramfs)]
        argv += ["-append", power.kernel.arguments]
    if power.tap is not None:
        argv += _nics(node, power.tap)
    for bus in dict.fromkeys(disk.bus for disk in power.disks):
        if controller := _CONTROLLERS.get(bus):
            argv += ["-device", f"{controller},id={bus}"]
    for number, disk in enumerate(power.disks):
        argv += _disk(disk, number)
    return argv


def _nics(node: VirtualNode, tap: str) -> list[str]:
    """Several NICs share the tap by a hub; one has it for itself, since a hub offloads nothing."""
    cable = f"ifname={tap},script=no,downscript=no"
    argv = ["-netdev", f"tap,id=net0,{cable}"]
    if node.more_nics:
        argv = ["-netdev", f"tap,id=cable,{cable}"]
        argv += ["-netdev", "hubport,id=port,hubid=0,netdev=cable"]
    for number, mac in enumerate((node.mac, *node.more_nics)):
        if node.more_nics:
            argv += ["-netdev", f"hubport,id=net{number},hubid=0"]
        boot = ",bootindex=1" if number == 0 else ""
        rom = "" if node.ipxe_rom and number == 0 else ",romfile="
        argv += ["-device", f"{node.nic},netdev=net{number},mac={mac}{boot}{rom}"]
    return argv


def _pflash(path: Path, readonly: str) -> list[str]:
    return ["-drive", f"if=pflash,format=raw,readonly={readonly},file={_escaped(path)}"]


def _disk(disk: AttachedDisk, number: int) -> list[str]:
    # Nothing here outlives the host's page cache, so the guest's flushes need not reach a disk.
    drive = f"if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,{_backing(disk)}"
    device = f"{_device(disk.bus, number)},drive=disk{number}"
    device += f",id={device_id(disk)},serial={disk.serial}"
    if disk.sector != 512:
        device += f",logical_block_size={disk.sector},physical_block_size={disk.sector}"
    if disk.boot is not None:
        device += f",bootindex={disk.boot}"
    return ["-drive", drive, "-device", device]


def device_id(disk: AttachedDisk) -> str:
    """What QEMU's monitor calls the disk; an id begins with a letter."""
    return f"disk-{disk.serial}"


def _backing(disk: AttachedDisk) -> str:
    """The image file; one with bad spots lies behind QEMU's `blkdebug`, which counts in 512."""
    path = _escaped(disk.path)
    if not disk.bad:
        return f"file={path}"
    words = ["file.driver=blkdebug", "file.image.driver=file", f"file.image.filename={path}"]
    for number, spot in enumerate(disk.bad):
        rule = f"file.inject-error.{number}"
        words += [f"{rule}.event=none", f"{rule}.iotype={spot.fails}", f"{rule}.errno={EIO}"]
        words += [f"{rule}.sector={spot.offset // 512}"]
    return ",".join(words)


def _device(bus: Bus, number: int) -> str:
    match bus:
        case "virtio-blk":
            return "virtio-blk-pci"
        case "nvme":
            return "nvme"
        case "sata":
            return f"ide-hd,bus=ide.{number}"
        case "virtio-scsi" | "megasas" | "pvscsi":
            return f"scsi-hd,bus={bus}.0,scsi-id={number}"
        case _:
            assert_never(bus)


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
