# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be true of arrays, LUKS volumes and volume groups before any disk is known.

Arrays are made of partitions, LUKS volumes of a partition, an array or a logical volume (as
`group/volume`), groups of any but the last. An array may have the name of the partitions it is of.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from swarmstrap.errors import BadInput
from swarmstrap.layout import (
    DiskLayout,
    Holder,
    Layout,
    LogicalVolume,
    Luks,
    Partition,
    PartitionType,
    Raid,
    VolumeGroup,
    holders,
)
from swarmstrap.layoutwords import (
    at,
    check_array_name,
    check_group_name,
    check_lvm_name,
    check_mapped_name,
    check_shares,
    check_sizes,
    check_thin_size,
    contradiction,
    once,
)

# The fewest devices with which mdadm makes an array that is what its level promises.
LEAST_DEVICES = {0: 2, 1: 2, 4: 3, 5: 3, 6: 4, 10: 4}
# What firmware measures before it starts anything of ours: its code, that of option ROMs and their
# settings, the rules of Secure Boot (TCG PC Client Platform Firmware Profile 1.06, 3.3.4). The
# others have boot order, loader, kernel or command line in them.
LASTING_PCRS = (0, 2, 3, 7)
_STACKED = ("raid", "lvm", "luks")
_ESP_MOUNTS = ("/boot/efi", "/efi")


def check_stack(layout: Layout) -> None:
    """Raises BadInput, with the array, volume or group at fault."""
    stack = _Stack(layout)
    for array in layout.raid:
        with at(f"raid {array.name}"):
            stack.check_array(array)
    for volume in layout.luks:
        with at(f"luks {volume.name}"):
            stack.check_luks(volume)
    for group in layout.volume_groups:
        with at(f"volume group {group.name}"):
            stack.check_group(group)
    stack.check_all_used()
    stack.check_no_circle()
    _check_names(layout)
    _check_boot(layout)


class _Stack:
    """The devices of a layout, and by whom each was taken so far."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.partitions: dict[str, list[tuple[DiskLayout, Partition]]] = defaultdict(list)
        for disk in layout.disks:
            for partition in disk.partitions:
                self.partitions[partition.label].append((disk, partition))
        self.arrays = {array.name: array for array in layout.raid}
        self.luks = {volume.name: volume for volume in layout.luks}
        self.volumes = {
            f"{group.name}/{volume.name}": volume
            for group in layout.volume_groups
            for volume in group.volumes
        }
        # Of labels, and of the names of what is made.
        self.users: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def check_array(self, array: Raid) -> None:
        check_array_name(array.name)
        self._take(f"raid {array.name}", "raid", array.devices, {})
        count = sum(self._count(label) for label in array.devices)
        least = LEAST_DEVICES[array.level]
        if array.spares < 0 or (array.spares and array.level == 0):
            contradiction(f"has level {array.level} and {array.spares} spares", "none of them")
        if count - array.spares < least:
            raise BadInput(
                f"level {array.level} on {count - array.spares} devices",
                hint=f"list {least} at least, or give their disks a `count`",
            )

    def check_luks(self, volume: Luks) -> None:
        check_mapped_name(volume.name)
        _check_pcrs(volume)
        self._take(f"luks {volume.name}", "luks", [volume.device], {**self.arrays, **self.volumes})
        if volume.device in self.partitions and self._count(volume.device) > 1:
            raise BadInput(
                f"{volume.device} is a partition of several disks",
                hint="encrypt the array that they make, or give each its own label",
            )

    def check_group(self, group: VolumeGroup) -> None:
        check_group_name(group.name)
        self._take(f"group {group.name}", "lvm", group.devices, {**self.arrays, **self.luks})
        pools = [pool.name for pool in group.pools]
        once("volume", [*pools, *(volume.name for volume in group.volumes)])
        for pool in group.pools:
            with at(f"pool {pool.name}"):
                check_lvm_name(pool.name)
                check_sizes(pool)
        for volume in group.volumes:
            with at(f"volume {volume.name}"):
                check_lvm_name(volume.name)
                check_sizes(volume)
                if volume.pool:
                    _known("pool", volume.pool, pools)
                    check_thin_size(volume)
        check_shares([*group.pools, *(volume for volume in group.volumes if not volume.pool)])

    def check_all_used(self) -> None:
        for label, found in self.partitions.items():
            for disk, partition in found:
                if partition.type in _STACKED and not (
                    partition.preserve or label in self.users[0]
                ):
                    raise BadInput(
                        f"disk {disk.id}: partition {label}: is of type {partition.type}, and "
                        "nothing is made of it",
                        hint="name it in `devices` of raid or volume_groups, or in luks",
                    )
        for what, names in (("raid", self.arrays), ("luks", self.luks)):
            for name, holder in names.items():
                if not holder.format and name not in self.users[1]:
                    contradiction(f"{what} {name} holds nothing", "a format, or a volume group")

    def check_no_circle(self) -> None:
        """Only a LUKS volume and the group it lies in can be below each other."""
        for volume in self.layout.luks:
            below, seen = [volume.device], set[str]()
            while below:
                device = below.pop()
                if device == volume.name and device not in self.partitions:
                    raise BadInput(
                        f"luks {volume.name} lies on itself", hint="see `device` and `devices`"
                    )
                if device in seen:
                    continue
                seen.add(device)
                below += self._made_of(device)

    def _made_of(self, device: str) -> tuple[str, ...]:
        if device in self.luks:
            return (self.luks[device].device,)
        group, slash, _ = device.partition("/")
        groups = self.layout.volume_groups if slash else ()
        return next((found.devices for found in groups if found.name == group), ())

    def _count(self, label: str) -> int:
        return sum(disk.count for disk, _ in self.partitions[label])

    def _take(
        self,
        user: str,
        wanted: PartitionType,
        devices: Iterable[str],
        others: Mapping[str, Holder],
    ) -> None:
        """`user` is made of `devices`: partitions of type `wanted`, or some of `others`."""
        taken = tuple(devices)
        if not taken:
            raise BadInput("devices: none", hint="name what it is made of")
        for device in taken:
            _known("device", device, [*self.partitions, *others])
            if device in self.partitions and device in others:
                raise BadInput(
                    f"device {device} is a partition, and also what is made of one",
                    hint="give each its own name",
                )
            users = self.users[device in others]
            if device in users:
                raise BadInput(
                    f"{device} belongs to {users[device]} already", hint="make another partition"
                )
            users[device] = user
            if device in others:
                _check_bare(device, others[device])
            for _, partition in self.partitions.get(device, ()):
                _check_below(partition, wanted)


def _known(what: str, name: str, known: list[str]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1) or known
    raise BadInput(
        f"{what} {name} is not there",
        hint=f"did you mean {' or '.join(near)}?" if near else f"the layout has no {what}",
    )


def _check_bare(name: str, holder: Holder) -> None:
    if holder.format or holder.mount or holder.subvolumes:
        contradiction(f"{name} is what something else is made of", "no format and no mount")


def _check_below(partition: Partition, wanted: PartitionType) -> None:
    if partition.type != wanted:
        contradiction(f"partition {partition.label} is of type {partition.type}", f"type: {wanted}")
    if partition.priority:
        contradiction(f"partition {partition.label} may be dropped", "no priority")
    if partition.preserve:
        contradiction(f"partition {partition.label} is to be preserved", "`preserve: false`")


def _check_names(layout: Layout) -> None:
    """A name stands for one thing, in the layout and below /dev."""
    once("group", (group.name for group in layout.volume_groups))
    luks = [volume.name for volume in layout.luks]
    once("name", [*luks, *(array.name for array in layout.raid)])
    # Device mapper joins group and volume by a hyphen, and doubles those that are in them.
    mapped = (
        f"{group.name.replace('-', '--')}-{name.replace('-', '--')}"
        for group in layout.volume_groups
        for name in (*(v.name for v in group.volumes), *(pool.name for pool in group.pools))
    )
    once("name below /dev/mapper", [*luks, *mapped])


def _check_pcrs(volume: Luks) -> None:
    pcrs = volume.tpm2_pcrs
    if pcrs is None:
        return
    if volume.key != "tpm2":
        contradiction("tpm2_pcrs without a TPM2", "`key: tpm2`")
    once("PCR", map(str, pcrs))
    for pcr in pcrs:
        if pcr not in LASTING_PCRS:
            raise BadInput(
                f"tpm2_pcrs: {pcr} is another one in the installer than in the installed system",
                hint=f"of {', '.join(map(str, LASTING_PCRS))} any",
            )


def _check_boot(layout: Layout) -> None:
    """Firmware reads its ESP, and GRUB its menu, kernel and initramfs, from what they can read."""
    mounted: dict[str, tuple[str, Holder]] = {}
    for place, holder in holders(layout):
        for mount in (holder.mount, *(subvolume.mount for subvolume in holder.subvolumes)):
            mounted[mount] = place, holder
            esp = isinstance(holder, Partition) and holder.type == "esp"
            if mount in _ESP_MOUNTS and not esp:
                with at(place):
                    contradiction(f"is mounted at {mount}", "to be a partition of type esp")
    place, holder = mounted["/boot" if "/boot" in mounted else "/"]
    with at(place):
        if _on_luks(layout, holder):
            contradiction("is encrypted and holds /boot", "a /boot outside, of 1GiB")
        if isinstance(holder, LogicalVolume) and holder.pool:
            contradiction("is thin and holds /boot, which GRUB cannot read", "a /boot outside")


def _on_luks(layout: Layout, holder: Holder) -> bool:
    encrypted = {volume.name for volume in layout.luks}
    return isinstance(holder, Luks) or any(
        holder in group.volumes and not encrypted.isdisjoint(group.devices)
        for group in layout.volume_groups
    )
