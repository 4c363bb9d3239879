# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual node as a value, and what is plugged into it for one power-on. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Firmware
from swarmstrap.units import Bytes, GiB

Bus = Literal["virtio-blk", "nvme", "sata", "virtio-scsi", "megasas", "pvscsi"]
Nic = Literal["virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3"]
Accelerator = Literal["kvm", "tcg"]

# Linux has drivers for all buses, Debian's build of OVMF has none for these.
_NOT_IN_OVMF = ("megasas", "pvscsi")

DISK = Bytes(4 * GiB)
REPORT_PORT = "org.swarmstrap.report"

# Of one node, over all its power-ons: its console, its report port, QEMU's own words, its TPM2's.
LOGS = ("serial.log", "report.jsonl", "qemu.log", "swtpm.log")
SERIAL_LOG, REPORT_LOG, QEMU_LOG, TPM_LOG = LOGS

# A disk's serial is the name and a suffix; virtio-blk and NVMe cut it at 20 bytes.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,12}")
_DISK = re.compile(r"[a-z]{1,6}")
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


@dataclass(frozen=True, slots=True)
class BadSpot:
    """A sector that cannot be read, or cannot be written; `offset` is in bytes. The other of the
    two works.
    """

    fails: Literal["read", "write"]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualDisk:
    """A disk to install on. `sector` is its logical sector size in bytes. Its serial is the name
    of the node and its own.
    """

    name: str
    bus: Bus
    size: Bytes = DISK
    sector: int = 512
    bad: tuple[BadSpot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualNode:
    """One virtual node. Its first disk, `system`, is as `bus`, `disk`, `sector` and `bad` say; the
    bus has `decoys` besides, which nothing may write to. `more_nics` are the MACs of NICs at the
    same cable as its first, by which no firmware boots.

    `ipxe_rom`: iPXE sits in the NIC, as QEMU's NICs have it; without it UEFI firmware fetches
    its boot program over TFTP like a real machine. `secure_boot`: the firmware runs only what is
    signed, which QEMU's ROMs are not. `tpm`: there is a TPM2, by swtpm. Raises BadInput for what
    QEMU cannot build.
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
    more_nics: tuple[str, ...] = ()
    sector: int = 512
    bad: tuple[BadSpot, ...] = ()
    ipxe_rom: bool = True
    secure_boot: bool = False
    tpm: bool = False
    more_disks: tuple[VirtualDisk, ...] = ()
    decoys: int = 1

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.name, _NAME, "a name of 1 to 13 of a-z, 0-9 and '-'"),
            *((mac, _MAC, "a MAC address in lower case") for mac in (self.mac, *self.more_nics)),
            (self.uuid, _UUID, "a UUID in lower case"),
            *((disk.name, _DISK, "a disk's name of 1 to 6 letters") for disk in self.disks),
        ):
            if not allowed.fullmatch(value):
                raise BadInput(f"virtual node {self.name!r}: {value!r} is not {what}")
        for word, words in (
            (self.firmware, get_args(Firmware)),
            (self.nic, get_args(Nic)),
            *((disk.bus, get_args(Bus)) for disk in self.disks),
        ):
            if word not in words:
                raise BadInput(
                    f"virtual node {self.name!r}: unknown {word!r}",
                    hint=f"one of {', '.join(words)}",
                )
        for disk in self.disks:
            if disk.sector != 512 and (disk.sector != 4096 or disk.bus == "sata"):
                raise BadInput(
                    f"virtual node {self.name!r}: no {disk.bus} disk has sectors of {disk.sector}",
                    hint="use 512, or 4096 on a bus other than sata",
                )
        if self.firmware == "uefi" and all(disk.bus in _NOT_IN_OVMF for disk in self.disks):
            raise BadInput(
                f"virtual node {self.name!r}: OVMF has no driver for {self.bus}, to start from",
                hint="give the node another disk, or make it a bios node",
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
    def disks(self) -> tuple[VirtualDisk, ...]:
        """All that may be written, in the order in which the firmware tries them."""
        first = VirtualDisk(
            name="system", bus=self.bus, size=self.disk, sector=self.sector, bad=self.bad
        )
        return first, *self.more_disks

    @property
    def ovmf(self) -> Ovmf | None:
        """Its firmware; None for a BIOS, which QEMU has by itself."""
        if self.firmware == "bios":
            return None
        return SECURE_OVMF if self.secure_boot else PLAIN_OVMF


@dataclass(frozen=True, slots=True)
class AttachedDisk:
    """A raw image file as a disk of the node. `boot` is its place among what the firmware tries,
    the network having 1; a disk without one is not tried.
    """

    path: Path
    serial: str
    bus: Bus
    sector: int = 512
    boot: int | None = None
    bad: tuple[BadSpot, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelBoot:
    """Start this kernel at once, without firmware's choice of a boot device."""

    kernel: Path
    initramfs: Path
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOn:
    """What is plugged in for one power-on, and how it runs.

    `disks` in attach order. `tpm` is the folder in which the TPM2 keeps its state. Without a `tap`
    (in the namespace `netns`) there is no NIC; without a `kernel` the firmware chooses what to
    boot, the network first.
    """

    accelerator: Accelerator
    disks: tuple[AttachedDisk, ...] = ()
    netns: str | None = None
    tap: str | None = None
    uefi_vars: Path | None = None
    tpm: Path | None = None
    kernel: KernelBoot | None = None
