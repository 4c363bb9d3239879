# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the hardware matrix: unlike machines, and the layouts that they get. Pure data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict, Unpack
from uuid import UUID, uuid5

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Firmware
from swarmstrap.units import Bytes, GiB
from swarmstrap_server.lab.debian import SMALL_IMAGE, TPM2_IMAGE
from swarmstrap_server.lab.machines import Bus, Nic, VirtualDisk, VirtualNode
from swarmstrap_server.lab.trial import Again, Trial

# Any fixed namespace does: a row is the same machine every time.
_NAMESPACE = UUID("0b7d7b3e-64c5-4a54-8d5c-2a1b6a0f8c11")


@dataclass(frozen=True, slots=True)
class Row:
    """One machine, what it is put to, and in a few words what its row shows. `image` is the name of
    a system that lab.debian has.
    """

    node: VirtualNode
    shows: str
    trial: Trial = field(default_factory=Trial)
    image: str = SMALL_IMAGE

    @property
    def name(self) -> str:
        return self.node.name


class _Parts(TypedDict, total=False):
    firmware: Firmware
    bus: Bus
    nic: Nic
    more_nics: tuple[str, ...]
    sector: int
    ipxe_rom: bool
    secure_boot: bool
    tpm: bool
    more_disks: tuple[VirtualDisk, ...]
    decoys: int


def _machine(name: str, **parts: Unpack[_Parts]) -> VirtualNode:
    identity = uuid5(_NAMESPACE, name)
    mac = "52:54:00:" + identity.bytes[:3].hex(":")
    return VirtualNode(name=name, mac=mac, uuid=str(identity), cpus=2, **parts)


_MSDOS = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  ptable: msdos
  partitions:
  - {label: boot, type: linux, size: 512MiB, format: ext4, mount: /boot}
  - {label: root, type: root, size_min: 2GiB, weight: 1, format: ext4, mount: /}
  - {label: swap, type: swap, size: 256MiB}
"""

# The firmware has no driver for the controller, as with a card whose ROM is switched off: it
# starts from a small disk beside it.
_BOOT_DISK = """\
disks:
- id: boot
  match: {serial: uefi-megasas-boot}
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - {label: boot, type: linux, size_min: 512MiB, format: ext4, mount: /boot}
- id: system
  match: {serial: uefi-megasas-system}
  partitions:
  - {label: root, type: root, size_min: 2GiB, format: xfs, mount: /}
"""

_RAID1 = """\
disks:
- id: mirror
  match: {size: ">= 4GiB"}
  count: 2
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - {label: mirror, type: raid, size: 2GiB}
raid:
- {name: root, level: 1, devices: [mirror], format: ext4, mount: /}
"""

_LVM_ON_RAID = """\
disks:
- id: mirror
  match: {size: ">= 4GiB"}
  count: 2
  partitions:
  - {label: small, type: raid, size: 512MiB}
  - {label: large, type: raid, size: 2560MiB}
raid:
- {name: boot, level: 1, devices: [small], format: ext4, mount: /boot}
- {name: system, level: 1, devices: [large]}
volume_groups:
- name: system
  devices: [system]
  volumes:
  - {name: root, size: 1536MiB, format: ext4, mount: /}
  - {name: var, size_min: 512MiB, format: xfs, mount: /var}
"""

_LUKS = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - {label: boot, type: linux, size: 512MiB, format: ext4, mount: /boot}
  - {label: secret, type: luks, size_min: 2GiB, weight: 1}
luks:
- {name: system, device: secret, key: server, format: ext4, mount: /}
"""

_LUKS_TPM2 = _LUKS.replace("key: server", "key: tpm2")

_BTRFS = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - label: system
    type: root
    size_min: 2GiB
    format: btrfs
    subvolumes:
    - {name: "@", mount: /}
    - {name: "@home", mount: /home}
    - {name: "@var", mount: /var, mount_options: compress=zstd}
"""

_NAMED = """\
disks:
- id: system
  match: {serial: shuffled-system}
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - {label: root, type: root, size_min: 2GiB, format: ext4, mount: /}
"""

# Nobody mounts the data partition (systemd would, if its type were `srv`), so that a byte that is
# another one was written by the installer.
_WITH_DATA = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  wipe: ordinary
  partitions:
  - {label: ESP, type: esp, size: 128MiB, mount: /boot/efi}
  - {label: data, type: linux, size: 512MiB, format: ext4}
  - {label: root, type: root, size_min: 2GiB, weight: 1, format: ext4, mount: /}
"""

_MSDOS_WITH_DATA = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  ptable: msdos
  wipe: ordinary
  partitions:
  - {label: boot, type: linux, size: 512MiB, format: ext4, mount: /boot}
  - {label: data, type: linux, size: 512MiB, format: xfs}
  - {label: root, type: root, size_min: 2GiB, weight: 1, format: ext4, mount: /}
"""

_SYSTEMD_BOOT = """\
bootloader: systemd-boot
disks:
- id: system
  match: {size: ">= 4GiB"}
  partitions:
  - {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}
  - {label: root, type: root, size_min: 2GiB, format: ext4, mount: /}
"""

_THIN = """\
disks:
- id: system
  match: {size: ">= 4GiB"}
  partitions:
  - {label: boot, type: linux, size: 512MiB, format: ext4, mount: /boot}
  - {label: volumes, type: lvm, size_min: 2GiB, weight: 1}
volume_groups:
- name: system
  devices: [volumes]
  pools:
  - {name: pool, size_min: 2GiB, weight: 1}
  volumes:
  - {name: root, pool: pool, size: 8GiB, format: ext4, mount: /}
"""

_BONDED = _machine("bond-vlan", more_nics=("52:54:00:0b:0d:02",))
_NETWORK = f"""\
- {{name: lan0, mac: {_BONDED.mac}}}
- {{name: lan1, mac: {_BONDED.more_nics[0]}}}
- {{name: bond0, bond: {{members: [lan0, lan1]}}, dhcp: true}}
- {{name: vlan20, vlan: {{id: 20, link: bond0}}, dhcp: false}}
- {{name: br0, bridge: {{members: [vlan20]}}, dhcp: false, addresses: [192.0.2.7/24]}}
"""
_LINKS = "bond0: lan0 lan1 dhcp, vlan20: bond0, br0: vlan20 192.0.2.7/24"


def _keeping_data(layout: str) -> Trial:
    """Deployed by `layout`, and again, with another root, beside its partition `data`."""
    kept = re.sub(r"(label: data.*)}", r"\1, preserve: true}", layout)
    other = kept.replace("format: ext4, mount: /}", "format: xfs, mount: /}")
    return Trial(layout=layout, again=Again(other, "data"))


_BOOT = VirtualDisk(name="boot", bus="sata", size=GiB)
_SECOND_NVME = VirtualDisk(name="second", bus="nvme", size=Bytes(4 * GiB))
_SECOND_VIRTIO = VirtualDisk(name="second", bus="virtio-blk", size=Bytes(4 * GiB))

ROWS = (
    # It takes longest, so it begins first.
    Row(
        _machine("thin-root", bus="pvscsi"),
        "BIOS, a thin root, which the image's initramfs cannot start",
        Trial(layout=_THIN, lacking="dm_thin_pool"),
    ),
    Row(_machine("bios-virtio"), "BIOS, virtio-blk, virtio-net"),
    Row(
        _machine("bios-msdos", bus="sata", nic="e1000"),
        "BIOS, AHCI with an MBR",
        Trial(layout=_MSDOS),
    ),
    Row(
        _machine("bios-vmware", bus="pvscsi", nic="vmxnet3"),
        "BIOS, the SCSI and network of VMware",
    ),
    Row(
        _machine("uefi-nvme-4kn", firmware="uefi", bus="nvme", sector=4096, nic="e1000e"),
        "UEFI, NVMe with sectors of 4096",
    ),
    Row(
        _machine("uefi-scsi", firmware="uefi", bus="virtio-scsi", nic="rtl8139"),
        "UEFI, virtio-scsi",
    ),
    Row(
        _machine("uefi-megasas", firmware="uefi", bus="megasas", more_disks=(_BOOT,)),
        "UEFI, root on MegaRAID SAS, /boot on SATA",
        Trial(layout=_BOOT_DISK),
    ),
    Row(
        _machine("uefi-raid1", firmware="uefi", bus="nvme", more_disks=(_SECOND_NVME,)),
        "UEFI, RAID1 of two NVMe, and again without one",
        Trial(layout=_RAID1, root=("system", "second"), removed="system"),
    ),
    Row(
        _machine("lvm-on-raid", more_disks=(_SECOND_VIRTIO,)),
        "BIOS, LVM on RAID1",
        Trial(layout=_LVM_ON_RAID, root=("system", "second")),
    ),
    Row(
        _machine("luks", firmware="uefi", bus="nvme"),
        "UEFI, LUKS2 with the server's secret",
        Trial(layout=_LUKS, unlock="system"),
    ),
    Row(
        _machine("luks-tpm2", firmware="uefi", bus="nvme", tpm=True),
        "UEFI, LUKS2 opened by the TPM2, and by hand with another one",
        Trial(layout=_LUKS_TPM2, tpm_unlocks="system"),
        image=TPM2_IMAGE,
    ),
    Row(
        _machine("tpm2-secure", firmware="uefi", ipxe_rom=False, secure_boot=True, tpm=True),
        "the same with Secure Boot, which the key is bound to",
        Trial(layout=_LUKS_TPM2, tpm_unlocks="system"),
        image=TPM2_IMAGE,
    ),
    Row(
        _machine("btrfs", firmware="uefi", bus="sata"),
        "UEFI, btrfs with subvolumes",
        Trial(layout=_BTRFS),
    ),
    Row(
        _machine("kept-gpt", firmware="uefi", bus="virtio-scsi"),
        "UEFI, deployed again beside a partition that stays",
        _keeping_data(_WITH_DATA),
    ),
    Row(
        _machine("kept-msdos", bus="sata"),
        "BIOS, the same on a disk with an MBR",
        _keeping_data(_MSDOS_WITH_DATA),
    ),
    Row(
        _machine("secure-boot", firmware="uefi", ipxe_rom=False, secure_boot=True),
        "UEFI with Secure Boot, from the network and from disk",
    ),
    Row(
        _machine("systemd-boot", firmware="uefi"),
        "UEFI, started by systemd-boot",
        Trial(layout=_SYSTEMD_BOOT),
    ),
    Row(
        _BONDED,
        "BIOS, a bridge on a VLAN on a bond of two NICs",
        Trial(network=_NETWORK, links=_LINKS),
    ),
    Row(
        _machine("shuffled", firmware="uefi", bus="virtio-scsi", decoys=2),
        "three disks in shuffled order, two of them not ours",
        Trial(layout=_NAMED),
    ),
)

# What `make test` has the minutes for, and no other test shows.
SUBSET = ("lvm-on-raid",)


def rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Those of `names`, in the matrix's order, or all without any; raises BadInput."""
    known = [row.name for row in ROWS]
    for name in names:
        if name not in known:
            raise BadInput(f"no row {name!r}", hint=f"one of {', '.join(known)}")
    return tuple(row for row in ROWS if not names or row.name in names)
