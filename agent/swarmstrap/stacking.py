# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies between partitions and filesystems: arrays, LUKS volumes, LVM. Pure.

Sizes are careful: what md, LUKS and LVM keep for themselves is taken from the upper end of what
they document, so that a volume that was planned can be made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmstrap.errors import Unplannable
from swarmstrap.layout import Holder, Layout, Luks, Raid, ThinPool, VolumeGroup
from swarmstrap.layout import LogicalVolume as LogicalLayout
from swarmstrap.partitioning import sizes
from swarmstrap.placing import (
    Identity,
    PlacedDisk,
    PlacedVolume,
    filesystem_id,
    mounts_of,
    subvolumes_of,
)
from swarmstrap.smallest import check_filesystems, check_made
from swarmstrap.steps.storage import MakeArray, MakeCrypt, MakeGroup, MakeLogical, MakePool
from swarmstrap.units import Bytes, KiB, MiB, align_down, align_up, human, parse_size
from swarmstrap.volumes import ArrayVolume, CryptVolume, LogicalVolume, Volume

Making = MakeArray | MakeCrypt | MakeGroup | MakePool | MakeLogical

# mdadm keeps a 1024th of a leg free before the data to reshape into, and its superblock and
# bitmap (Create.c, super1.c); sizes are whole chunks of 512 KiB.
_MD_SHARE = 1000
_MD_KEEPS = 2 * MiB
_MD_CHUNK = 512 * KiB
# Two headers of a LUKS2 volume with its key slots (LUKS2 on-disk format, 3).
_LUKS_KEEPS = 16 * MiB
# Where data begin on a physical volume, and the extents of a group.
_PV_KEEPS = MiB
# LVM looks at no smaller device (lvm.conf, pv_min_size).
_PV_LEAST = Bytes(2 * MiB)
EXTENT = Bytes(4 * MiB)
# A pool's metadata and the spare to repair it with: at most this part of the pool, each.
_POOL_SHARE = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """Everything that a layout makes of the disks, `making` in the order in which it is made."""

    disks: tuple[PlacedDisk, ...]
    making: tuple[Making, ...]
    volumes: tuple[PlacedVolume, ...]

    def room(self, volumes: Iterable[PlacedVolume]) -> int:
        """Bytes that files can take on `volumes`: thin ones have what their pool has, together."""
        pools = {step.volume: step.size for step in self.making if isinstance(step, MakePool)}
        thin = {
            step.volume: LogicalVolume(step.volume.group, step.pool)
            for step in self.making
            if isinstance(step, MakeLogical) and step.pool
        }
        rooms: dict[Volume, int] = {}
        for placed in volumes:
            volume = placed.volume
            pool = thin.get(volume) if isinstance(volume, LogicalVolume) else None
            if pool is None:
                rooms[volume] = placed.size
            else:
                rooms[pool] = min(pools[pool], rooms.get(pool, 0) + placed.size)
        return sum(rooms.values())


@dataclass(frozen=True, slots=True)
class _Room:
    """A volume on which something can be built; bytes."""

    volume: Volume
    size: int
    sector: int
    striped: bool = False


class _Stack:
    """What can be built upon, by label and name; grows while the layout is gone through."""

    def __init__(self, disks: Iterable[PlacedDisk], identity: Identity) -> None:
        self._identity = identity
        self._rooms: dict[str, list[_Room]] = {}
        self.making: list[Making] = []
        self.volumes: list[PlacedVolume] = []
        self.striped: set[Volume] = set()
        for disk in disks:
            for placed in disk.volumes:
                room = _Room(placed.volume, placed.size, placed.sector)
                self._rooms.setdefault(placed.label, []).append(room)

    def build(self, waiting: Sequence[Raid | Luks | VolumeGroup]) -> None:
        """Everything whose devices are there, until nothing is left to build."""
        while waiting:
            later: list[Raid | Luks | VolumeGroup] = []
            for wanted in waiting:
                if all(name in self._rooms for name in _devices(wanted)):
                    self._make(wanted)
                else:
                    later.append(wanted)
            if len(later) == len(waiting):
                names = ", ".join(wanted.name for wanted in later)
                raise Unplannable(
                    f"nothing to build {names} on: a partition was dropped, or is not there",
                    hint="see `devices` in the layout",
                )
            waiting = later

    def _make(self, wanted: Raid | Luks | VolumeGroup) -> None:
        rooms = [room for name in _devices(wanted) for room in self._rooms[name]]
        match wanted:
            case Raid():
                self._array(wanted, rooms)
            case Luks():
                self._crypt(wanted, rooms)
            case VolumeGroup():
                self._group(wanted, rooms)

    def _array(self, raid: Raid, rooms: Sequence[_Room]) -> None:
        volumes = [room.volume for room in rooms]
        active = len(volumes) - raid.spares
        volume = ArrayVolume(raid.name, str(self._identity.derive(raid.name, "array")))
        self.making.append(
            MakeArray(
                volume=volume,
                level=raid.level,
                devices=tuple(volumes[:active]),
                spares=tuple(volumes[active:]),
                metadata=raid.metadata,
            )
        )
        leg = min(room.size for room in rooms)
        leg = align_down(leg - leg // _MD_SHARE - _MD_KEEPS, _MD_CHUNK)
        size = leg * _data_legs(raid, active)
        striped = raid.level != 1 or _striped(rooms)
        self._made(raid.name, _Room(volume, size, _sector(rooms), striped), raid)

    def _crypt(self, luks: Luks, rooms: Sequence[_Room]) -> None:
        if len(rooms) != 1:
            raise Unplannable(
                f"{luks.name} is to encrypt {len(rooms)} devices called {luks.device}",
                hint="put an array on them, and encrypt that",
            )
        volume = CryptVolume(luks.name, str(self._identity.derive(luks.name, "luks")))
        (room,) = rooms
        self.making.append(MakeCrypt(volume, room.volume, luks.key))
        self._made(luks.name, replace(room, volume=volume, size=room.size - _LUKS_KEEPS), luks)

    def _group(self, group: VolumeGroup, rooms: Sequence[_Room]) -> None:
        _check_group(group, rooms)
        self.making.append(MakeGroup(group.name, tuple(room.volume for room in rooms)))
        free = sum(max(0, room.size - _PV_KEEPS) // EXTENT for room in rooms)
        whole = [volume for volume in group.volumes if not volume.pool]
        given = _sizes(group, [*group.pools, *whole], free)
        for pool in group.pools:
            self.making.append(MakePool(LogicalVolume(group.name, pool.name), given[pool.name]))
        for logical in group.volumes:
            volume = LogicalVolume(group.name, logical.name)
            thin = logical.pool != ""
            size = align_up(parse_size(logical.size), EXTENT) if thin else given[logical.name]
            self.making.append(MakeLogical(volume, size, logical.pool))
            name = f"{group.name}/{logical.name}"
            striped = thin or _striped(rooms)
            self._made(name, _Room(volume, size, _sector(rooms), striped), logical)

    def _made(self, name: str, room: _Room, holder: Holder) -> None:
        check_made(room.volume, room.size)
        self._rooms[name] = [room]
        if room.striped:
            self.striped.add(room.volume)
        label = name.rpartition("/")[2]
        self.volumes.append(
            PlacedVolume(
                volume=room.volume,
                label=label,
                type=None,
                size=room.size,
                sector=room.sector,
                format=holder.format,
                uuid=filesystem_id(holder.format, self._identity.derive(name, "filesystem")),
                mounts=mounts_of(holder),
                subvolumes=subvolumes_of(holder),
            )
        )


def stack(layout: Layout, disks: Sequence[PlacedDisk], identity: Identity) -> Placed:
    """Raises Unplannable when something has no room, or nothing to lie on."""
    building = _Stack(disks, identity)
    building.build([*layout.raid, *layout.luks, *layout.volume_groups])
    partitions = (volume for disk in disks for volume in disk.volumes)
    volumes = (*partitions, *building.volumes)
    check_filesystems(volumes, building.striped)
    return Placed(tuple(disks), tuple(building.making), volumes)


def _devices(wanted: Raid | Luks | VolumeGroup) -> tuple[str, ...]:
    return (wanted.device,) if isinstance(wanted, Luks) else wanted.devices


def _sector(rooms: Iterable[_Room]) -> int:
    return max(room.sector for room in rooms)


def _striped(rooms: Iterable[_Room]) -> bool:
    return any(room.striped for room in rooms)


def _check_group(group: VolumeGroup, rooms: Iterable[_Room]) -> None:
    """Raises Unplannable for devices that vgcreate refuses."""
    sectors = {}
    for room in rooms:
        sectors[room.sector] = room.volume
        if room.size < _PV_LEAST:
            raise Unplannable(
                f"{room.volume} has {human(room.size)}, and a device of volume group {group.name} "
                f"has {human(_PV_LEAST)} at least",
                hint="raise its size, or size_min; or take a larger disk",
            )
    if len(sectors) > 1:
        lies = " and ".join(f"{sectors[size]} with sectors of {size}" for size in sorted(sectors))
        raise Unplannable(
            f"volume group {group.name} would lie on {lies} bytes, which LVM does not mix",
            hint="choose disks that are alike, or make a group of each kind",
        )


def _data_legs(raid: Raid, active: int) -> int:
    match raid.level:
        case 0:
            return active
        case 1:
            return 1
        case 4 | 5:
            return active - 1
        case 6:
            return active - 2
        case 10:
            return active // 2


def _sizes(
    group: VolumeGroup, wanted: Sequence[ThinPool | LogicalLayout], free: int
) -> Mapping[str, Bytes]:
    """Bytes of each, in whole extents; what pools need beside their data is set apart first."""
    free -= sum(2 + 2 * (free // _POOL_SHARE) for _ in group.pools)
    room = Bytes(max(0, free) * EXTENT)
    try:
        return sizes({volume.name: volume for volume in wanted}, room=room, step=EXTENT)
    except Unplannable as error:
        raise Unplannable(f"volume group {group.name}: {error.message}", hint=error.hint) from error
