# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual node as a value, and the QEMU command line that makes it. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never, get_args

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Firmware
from swarmstrap.units import Bytes, GiB, MiB

Bus = Literal["virtio-blk", "nvme", "sata", "virtio-scsi"]
Nic = Literal["virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3"]
Accelerator = Literal["kvm", "tcg"]

DISK = Bytes(4 * GiB)
REPORT_PORT = "org.swarmstrap.report"

# OVMF tries every network protocol of a NIC before the next device: a minute or two of nobody
# answering when an unarmed node goes on to its disk. Where the NIC has no iPXE, OVMF's own TFTP
# needs IPv4.
_NO_IPV6 = ("IPv6PXESupport", "IPv6Support")
_NO_IPV4 = ("IPv4Support",)

# Of one node, over all its power-ons: its console, its report port, QEMU's own words.
SERIAL_LOG, REPORT_LOG, QEMU_LOG = LOGS = ("serial.log", "report.jsonl", "qemu.log")

# A disk's serial is the name and a suffix; virtio-blk and NVMe cut it at 20 bytes.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,12}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Ovmf:
    """UEFI for QEMU: its program, and what its variables hold in a new machine."""

    code: Path
    variables: Path


_OVMF = Path("/usr/share/OVMF")
PLAIN_OVMF = Ovmf(_OVMF / "OVMF_CODE_4M.fd", _OVMF / "OVMF_VARS_4M.fd")
# Microsoft's keys are enrolled, as in a machine that is bought.
SECURE_OVMF = Ovmf(_OVMF / "OVMF_CODE_4M.secboot.fd", _OVMF / "OVMF_VARS_4M.ms.fd")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualNode:
    """One virtual node. `sector` is the disk's logical sector size in bytes.

    `ipxe_rom`: iPXE sits in the NIC, as QEMU's NICs have it; without it UEFI firmware fetches
    its boot program over TFTP like a real machine. `secure_boot`: the firmware runs only what is
    signed, which QEMU's ROMs are not. Raises BadInput for what QEMU cannot build.
    """

    name: str
    mac: str
    uuid: str
    firmware: Firmware = "bios"
    bus: Bus = "virtio-blk"
    disk: Bytes = DISK
    memory: Bytes = GiB
    cpus: int = 1
    nic: Nic = "virtio-net-pci"
    sector: int = 512
    ipxe_rom: bool = True
    secure_boot: bool = False

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.name, _NAME, "a name of 1 to 13 of a-z, 0-9 and '-'"),
            (self.mac, _MAC, "a MAC address in lower case"),
            (self.uuid, _UUID, "a UUID in lower case"),
        ):
            if not allowed.fullmatch(value):
                raise BadInput(f"virtual node {self.name!r}: {value!r} is not {what}")
        for word, words in (
            (self.firmware, get_args(Firmware)),
            (self.bus, get_args(Bus)),
            (self.nic, get_args(Nic)),
        ):
            if word not in words:
                raise BadInput(
                    f"virtual node {self.name!r}: unknown {word!r}",
                    hint=f"one of {', '.join(words)}",
                )
        if self.sector != 512 and (self.sector != 4096 or self.bus == "sata"):
            raise BadInput(
                f"virtual node {self.name!r}: no {self.bus} disk has {self.sector}-byte sectors",
                hint="use 512, or 4096 on a bus other than sata",
            )
        if self.firmware == "bios" and not self.ipxe_rom:
            raise BadInput(
                f"virtual node {self.name!r}: QEMU's BIOS boots the network by the NIC's ROM only"
            )
        if self.secure_boot and (self.firmware != "uefi" or self.ipxe_rom):
            raise BadInput(
                f"virtual node {self.name!r}: Secure Boot is of UEFI, and runs no unsigned ROM",
                hint="make it a uefi node without ipxe_rom",
            )

    @property
    def ovmf(self) -> Ovmf | None:
        """Its firmware; None for a BIOS, which QEMU has by itself."""
        if self.firmware == "bios":
            return None
        return SECURE_OVMF if self.secure_boot else PLAIN_OVMF


@dataclass(frozen=True, slots=True)
class AttachedDisk:
    """A raw image file as a disk of the node; a disk that is `bootable` comes after the network."""

    path: Path
    serial: str
    bootable: bool = False


@dataclass(frozen=True, slots=True)
class KernelBoot:
    """Start this kernel at once, without firmware's choice of a boot device."""

    kernel: Path
    initramfs: Path
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOn:
    """What is plugged in for one power-on, and how it runs.

    `disks` in attach order. Without a `tap` (in the namespace `netns`) there is no NIC; without
    a `kernel` the firmware chooses what to boot, the network first.
    """

    accelerator: Accelerator
    disks: tuple[AttachedDisk, ...] = ()
    netns: str | None = None
    tap: str | None = None
    uefi_vars: Path | None = None
    kernel: KernelBoot | None = None


@dataclass(frozen=True, slots=True)
class Channels:
    """File descriptors of three connected sockets that QEMU inherits."""

    serial: int
    report: int
    monitor: int


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
        argv += ["-netdev", f"tap,id=net0,ifname={power.tap},script=no,downscript=no"]
        rom = "" if node.ipxe_rom else ",romfile="
        argv += ["-device", f"{node.nic},netdev=net0,mac={node.mac},bootindex=1{rom}"]
    if node.bus == "virtio-scsi":
        argv += ["-device", "virtio-scsi-pci,id=scsi0"]
    for number, disk in enumerate(power.disks):
        argv += _disk(node, disk, number)
    return argv


def _pflash(path: Path, readonly: str) -> list[str]:
    return ["-drive", f"if=pflash,format=raw,readonly={readonly},file={_escaped(path)}"]


def _disk(node: VirtualNode, disk: AttachedDisk, number: int) -> list[str]:
    # Nothing here outlives the host's page cache, so the guest's flushes need not reach a disk.
    drive = f"if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap"
    device = f"{_device(node.bus, number)},drive=disk{number},serial={disk.serial}"
    if node.sector != 512:
        device += f",logical_block_size={node.sector},physical_block_size={node.sector}"
    if disk.bootable:
        device += ",bootindex=2"
    return ["-drive", f"{drive},file={_escaped(disk.path)}", "-device", device]


def _device(bus: Bus, number: int) -> str:
    match bus:
        case "virtio-blk":
            return "virtio-blk-pci"
        case "nvme":
            return "nvme"
        case "sata":
            return f"ide-hd,bus=ide.{number}"
        case "virtio-scsi":
            return f"scsi-hd,bus=scsi0.0,scsi-id={number}"
        case _:
            assert_never(bus)


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
