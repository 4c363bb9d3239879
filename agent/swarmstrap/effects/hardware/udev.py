# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks of this machine, and which device node a planned disk has now.

The only user of pyudev. Serial numbers and the like are read in lsblk's order of preference, so
that what an operator copies from lsblk matches.
"""

import ctypes.util
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pyudev

from swarmstrap.command import CommandFailed
from swarmstrap.effects.hardware import contents, nics, sysfs
from swarmstrap.effects.hardware.sysfs import number, text
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.hardware import MEDIUM_LABEL, Disk, Inventory
from swarmstrap.volumes import DiskId, PartitionVolume

_NO_HARDWARE = re.compile(r"(loop|ram|zram|dm-|md|nbd)\d")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
# udevd hangs up on a client whose message comes after its accept() and before it asks for the
# credentials of who sent it (udev-ctrl.c of systemd 252): once in some thousand calls.
_TRIES = 3
_LASTING = ("/dev/disk/by-id/", "/dev/disk/by-path/")


@functools.cache
def _context() -> pyudev.Context:
    """pyudev asks ldconfig or gcc for the name of libudev, and an initramfs has neither."""
    sonames = {"udev": "libudev.so.1"}
    pyudev._ctypeslib.utils.find_library = lambda name: (
        ctypes.util.find_library(name) or sonames.get(name)
    )
    return pyudev.Context()


def settle(timeout: float = 60.0) -> None:
    """Wait until udev has handled what happened so far; raises StepFailed after `timeout` s."""
    command = ["udevadm", "settle", f"--timeout={timeout:.0f}"]
    for left in reversed(range(_TRIES)):
        try:
            run(command, timeout=timeout + 5)
        except CommandFailed as error:
            if not left or "Broken pipe" not in error.message:
                raise
        else:
            return


def look(pxe_interface: str) -> Inventory:
    """Everything that the plan may depend on. Blocking: it reads the beginning of every disk."""
    disks = (_disk(device) for device in _disks())
    return msgspec.structs.replace(
        sysfs.look(pxe_interface),
        disks=tuple(sorted(disks, key=lambda disk: disk.name)),
        interfaces=nics.look(),
    )


def find(disk: DiskId) -> str:
    """The device node that `disk` has now. Raises StepFailed unless exactly one disk is the
    planned one in size, sector size, serial, WWN and path: what it is, not what it was called.
    """
    nodes = [str(device.device_node) for device in _disks() if _identity(device) == _wanted(disk)]
    if not (disk.serial or disk.wwn or disk.by_path):
        nodes = [node for node in nodes if node == disk.name]
    if len(nodes) != 1:
        seen = f"{len(nodes)} disks are" if nodes else "no disk is"
        raise StepFailed(
            f"{seen} the planned {disk}", hint="the hardware changed: deploy the node again"
        )
    return nodes[0]


def partition_node(volume: PartitionVolume) -> str:
    """The device node of a planned partition, proven by its disk, its start and its size."""
    planned = volume.partition
    return part_node(volume.disk, planned.number, planned.start, planned.size)


def part_node(disk: DiskId, part: int, start: int, size: int) -> str:
    """`partition_node` by number and place in bytes."""
    for path in (sysfs.SYS / "class/block" / Path(find(disk)).name).iterdir():
        if number(path / "partition") == part and sysfs.extent(path) == (start, size):
            return f"/dev/{path.name}"
    raise StepFailed(
        f"partition {part} of {disk.name} is not where the plan puts it",
        hint="something else changed the partition table: deploy the node again",
    )


def folders() -> dict[str, Path]:
    """The sysfs folder of every disk, by its device node."""
    return {str(device.device_node): Path(device.sys_path) for device in _disks()}


def _disks() -> Iterator[pyudev.Device]:
    for device in _context().list_devices(subsystem="block", DEVTYPE="disk"):
        # The paths of an NVMe namespace are disks without a node.
        if device.device_node is not None and not _NO_HARDWARE.match(device.sys_name):
            yield device


def _wanted(disk: DiskId) -> tuple[int, int, str, str, str]:
    return disk.size, disk.logical_sector, disk.serial, disk.wwn, disk.by_path


def _identity(device: pyudev.Device) -> tuple[int, int, str, str, str]:
    path = Path(device.sys_path)
    properties: Mapping[str, str] = device.properties
    serial = (
        properties.get("ID_SCSI_SERIAL")
        or properties.get("ID_SERIAL_SHORT")
        or properties.get("ID_SERIAL")
        or text(path / "serial")
        or text(path / "device/serial")
    )
    wwn = properties.get("ID_WWN_WITH_EXTENSION") or properties.get("ID_WWN") or ""
    by_path = properties.get("ID_PATH") or ""
    return (
        number(path / "size") * sysfs.SECTOR,
        number(path / "queue/logical_block_size") or sysfs.SECTOR,
        serial.strip(),
        wwn,
        f"/dev/disk/by-path/{by_path}" if by_path else "",
    )


def _disk(device: pyudev.Device) -> Disk:
    path = Path(device.sys_path)
    size, logical_sector, serial, wwn, by_path = _identity(device)
    scsi = device.find_parent("scsi", "scsi_device")
    # A drive without a medium has nothing to probe.
    found = contents.probe(path) if size else contents.Contents()
    model = _ESCAPED.sub(
        lambda match: chr(int(match[1], 16)), device.properties.get("ID_MODEL_ENC", "")
    )
    return Disk(
        name=str(device.device_node),
        size=size,
        logical_sector=logical_sector,
        physical_sector=number(path / "queue/physical_block_size") or sysfs.SECTOR,
        model=" ".join((model or text(path / "device/model")).split()),
        vendor=device.properties.get("ID_VENDOR") or text(path / "device/vendor"),
        serial=serial,
        wwn=wwn,
        hctl=str(scsi.sys_name) if scsi is not None else "",
        by_path=by_path,
        tran=_transport(device.sys_name, device.properties),
        links=tuple(sorted(link for link in device.device_links if link.startswith(_LASTING))),
        rotational=number(path / "queue/rotational") == 1,
        # The kernel calls SD cards fixed, like the eMMC that the same driver serves.
        removable=number(path / "removable") == 1 or text(path / "device/type") == "SD",
        read_only=number(path / "ro") == 1,
        multipath=contents.is_path(path),
        boot_medium=MEDIUM_LABEL in found.labels,
        optimal_io=number(path / "queue/optimal_io_size"),
        signatures=found.signatures,
        partitions=found.partitions,
        holders=tuple(contents.users(path)),
        drivers=sysfs.drivers(path),
    )


def _transport(name: str, properties: Mapping[str, str]) -> str:
    """lsblk's words: by the driver's device names, then by the bus that udev found."""
    for prefix, transport in (("nvme", "nvme"), ("vd", "virtio"), ("mmcblk", "mmc")):
        if name.startswith(prefix):
            return transport
    path = properties.get("ID_PATH", "")
    for part, transport in (("-sas-", "sas"), ("-fc-", "fc"), ("-iscsi-", "iscsi")):
        if part in path:
            return transport
    bus = properties.get("ID_BUS", "")
    return "sata" if bus == "ata" else bus
