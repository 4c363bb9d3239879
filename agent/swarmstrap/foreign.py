# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk holds, and which of it nobody replaces without a word. Pure.

Tables and filesystems are ordinary. What is part of something on other disks, is shared with other
machines, or was locked by somebody is not: its owner may miss it elsewhere.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.layout import DiskLayout

UNREADABLE = "unreadable data"

# blkid's types (util-linux, libblkid/src/superblocks), and what to call them.
_KINDS = {
    "linux_raid_member": "a member of an MD array",
    "LVM1_member": "a physical volume of LVM",
    "LVM2_member": "a physical volume of LVM",
    "zfs_member": "a member of a ZFS pool",
    "ceph_bluestore": "a Ceph OSD",
    "VMFS": "a VMFS of VMware",
    "VMFS_volume_member": "a member of a VMFS of VMware",
    "gpfs": "a GPFS disk",
    "drbd": "a DRBD replica",
    "drbdproxy_datalog": "a DRBD replica",
    "drbdmanage_control_volume": "a DRBD replica",
    "bcache": "a bcache device",
    "mpath_member": "a path of a multipath device",
    "crypto_LUKS": "a LUKS volume",
    "cs_fvault2": "a FileVault volume",
    "BitLocker": "a BitLocker volume",
    "bcachefs": "a member of a bcachefs",
    "jbd": "the journal of another filesystem",
    "xfs_external_log": "the log of another XFS",
    "stratis": "a member of a Stratis pool",
    "vdo": "a VDO device",
    "oracleasm": "an Oracle ASM disk",
    "DM_integrity": "a dm-integrity device",
    "DM_verity_hash": "a dm-verity device",
    "DM_snapshot_cow": "a snapshot of another device",
    "gfs": "a cluster filesystem",
    "gfs2": "a cluster filesystem",
    "ocfs": "a cluster filesystem",
    "ocfs2": "a cluster filesystem",
    "several kinds of data": "several kinds of data",
    UNREADABLE: "data that cannot be read",
}
# GPT types of what blkid sees nothing of (util-linux, include/pt-gpt-partnames.h).
_TYPES = {
    "37affc90-ef7d-4e96-91c3-2d7ae055b174": "a GPFS disk",
    "4fbd7e29-9d25-41b8-afd0-062c0ceff05d": "a Ceph OSD",
    "aa31e02a-400f-11db-9590-000c2911d1b8": "a VMFS of VMware",
    "381cfccc-7288-11e0-92ee-000c2911d0b2": "a vSAN disk of VMware",
    "e75caf8f-f680-4cee-afa3-b001e56efc2d": "a member of Windows Storage Spaces",
    "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "a dynamic disk of Windows",
    "af9b60a0-1431-4f62-bc68-3311714a69ad": "a dynamic disk of Windows",
}
_FIRMWARE_RAID = "_raid_member"
_SIGNATURE = re.compile(r"(.+) \(([^ ,)]+)(?:, label (.*))?\)")


@dataclass(frozen=True, slots=True)
class Data:
    """One signature: `where` is the kernel's name of the disk or partition that has it."""

    kind: str
    where: str
    label: str


def check_wipe(
    layout: DiskLayout, disk: Disk, *, own: bool = False, kept: Sequence[int] = ()
) -> None:
    """Raises Unplannable for data that the `wipe` of the layout does not give up.

    `own` says that the table is this deployment's, which an earlier attempt wrote. Partitions of
    the numbers `kept` stay, and so what lies in them is no matter.
    """
    if layout.wipe == "anything" or own:
        return
    special = tuple(extraordinary(disk, kept))
    if layout.wipe == "ordinary":
        found, takes = special, "a disk without such data"
    else:
        found, takes = tuple(everything(disk, kept)), "an empty disk"
    if not found:
        return
    hint = f"write `wipe: {'anything' if special else 'ordinary'}` in the layout to replace it"
    if any(signature.startswith(UNREADABLE) for signature in disk.signatures):
        hint = "a disk that cannot be read is failing: see the kernel log, replace the disk"
    raise Unplannable(
        f"{disk.name} holds {', '.join(found)}, and the layout of {layout.id} only takes {takes}",
        hint=hint,
    )


def everything(disk: Disk, kept: Sequence[int] = ()) -> Iterator[str]:
    """All that is known to be on the disk, but for the table and what is `kept`."""
    if not kept:
        yield from disk.signatures
        return
    names = {part_name(disk, number) for number in kept}
    known = set()
    for signature in disk.signatures:
        data = _parse(signature)
        if data and data.where not in names:
            known.add(data.where)
            yield signature
    for part in disk.partitions:
        name = part_name(disk, part.number)
        if part.number not in kept and name not in known:
            yield f"partition {part.number} ({part.name or 'without a name'})"


def extraordinary(disk: Disk, kept: Sequence[int] = ()) -> Iterator[str]:
    """What `wipe: ordinary` does not replace, in words of people."""
    names = {part_name(disk, number) for number in kept}
    for signature in disk.signatures:
        data = _parse(signature)
        kind = _kind(data.kind) if data else None
        if data and kind and data.where not in names:
            of = f" {data.label}" if data.label else ""
            yield f"{kind}{of} ({data.where})"
    for part in disk.partitions:
        if part.number not in kept and (kind := _TYPES.get(part.type.lower())):
            yield f"{kind} ({part_name(disk, part.number)})"


def part_name(disk: Disk, number: int) -> str:
    """The kernel's name of a partition: `sda1`, `nvme0n1p1`."""
    name = disk.name.removeprefix("/dev/")
    return f"{name}{'p' if name[-1].isdigit() else ''}{number}"


def _parse(signature: str) -> Data | None:
    """Nothing for a partition table, which is said as `gpt UUID`."""
    match = _SIGNATURE.fullmatch(signature)
    return Data(match[1], match[2], match[3] or "") if match else None


def _kind(kind: str) -> str | None:
    if kind.endswith(_FIRMWARE_RAID) and kind not in _KINDS:
        return f"a member of a firmware RAID ({kind.removesuffix(_FIRMWARE_RAID)})"
    return _KINDS.get(kind)
