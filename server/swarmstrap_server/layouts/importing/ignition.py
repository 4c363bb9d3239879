# SPDX-License-Identifier: GPL-2.0-or-later
"""The `storage` of an Ignition configuration, 3.x, as Butane makes it.

Devices are paths there: a partition is known by its label below /dev/disk/by-partlabel, an array
by its name below /dev/md, a LUKS volume below /dev/mapper (coreos/ignition, docs/configuration).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.layout import DiskLayout, Layout, Luks, Partition, PartitionType, Raid
from swarmstrap.units import MiB
from swarmstrap_server.layouts.importing.meaning import (
    NO_LASTING_NAME,
    TYPES,
    Held,
    Labels,
    disk_hint,
    format_named,
    level_named,
    nothing_held,
    on_esp,
    type_for,
    written,
)
from swarmstrap_server.layouts.importing.reading import Entry, Losses

_IDENTITY = "follows from the deployment, the node and the label"
_CONTENT = "an image has it, or a hook"
# Below these, what no entry of the configuration makes is another system's.
_MADE = re.compile(r"/dev/(md|mapper)/|/dev/disk/by-(partlabel|label|uuid|partuuid)/|.*-part\d+")


def read_ignition(path: Path, losses: Losses) -> Layout:
    """Raises BadInput for what is no Ignition configuration of version 3."""
    try:
        data = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"{path}: not an Ignition configuration: {error}", hint="butane makes one of its YAML"
        ) from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    top = Entry(data, lambda _key: str(path), losses)
    about = top.inside("ignition")
    version = about.text("version")
    if not version.startswith("3."):
        raise BadInput(f"{path}: ignition.version is {version!r}", hint="3.x is read")
    arguments = top.inside("kernelArguments")
    layout = msgspec.structs.replace(
        _Storage(path, top.inside("storage"), losses).layout(),
        kernel_arguments=" ".join(arguments.texts("shouldExist")),
    )
    about.lose("config", "is not fetched: merge it first")
    about.lose_rest("nothing is fetched")
    arguments.lose("shouldNotExist", "arguments of the image are kept")
    for key in ("systemd", "passwd"):
        top.lose(key, _CONTENT)
    top.lose_rest()
    return layout


@dataclass(frozen=True, slots=True)
class _Disk:
    """A disk of the layout to be; `entry` of one that is used whole is what uses it."""

    device: str
    entry: Entry
    parts: list[tuple[str, Entry]] = field(default_factory=list)


class _Storage:
    """`names` leads from a device's path to what the layout calls it."""

    def __init__(self, path: Path, storage: Entry, losses: Losses) -> None:
        self._path = path
        self._storage = storage
        self._losses = losses
        self._labels = Labels()
        self._disks: list[_Disk] = []
        self._names: dict[str, str] = {}
        self._bare: dict[str, Entry] = {}
        self._users: dict[str, PartitionType] = {}
        self._held: dict[str, Held] = {}

    def layout(self) -> Layout:
        disks, raids = self._entries("disks"), self._entries("raid")
        volumes, filesystems = self._entries("luks"), self._entries("filesystems")
        self._name_volumes(raids, volumes)
        for number, disk in enumerate(disks):
            self._name_partitions(number, disk)
        for array in raids:
            self._users |= dict.fromkeys(self._named(array, array.texts("devices")), "raid")
        for volume in volumes:
            self._users |= dict.fromkeys(self._named(volume, [volume.text("device")]), "luks")
        for filesystem in filesystems:
            self._read_filesystem(filesystem)
        layout = Layout(
            disks=tuple(self._disk_layouts()),
            raid=tuple(self._array(array) for array in raids),
            luks=tuple(self._sealed(volume) for volume in volumes),
        )
        for disk in self._bare.values():
            disk.lose("device", "nothing of the layout is on it: it is left alone")
            disk.forget()
        for key in ("files", "directories", "links"):
            self._storage.lose(key, _CONTENT)
        for entry in (*disks, *raids, *volumes, *filesystems, self._storage):
            entry.lose_rest()
        return layout

    def _entries(self, key: str) -> list[Entry]:
        return [
            self._entry(values, f"{self._path}: storage.{key}[{number}]")
            for number, values in enumerate(self._storage.mappings(key))
        ]

    def _entry(self, values: Mapping[str, object], place: str) -> Entry:
        return Entry(values, lambda _key: place, self._losses)

    def _name_partitions(self, number: int, disk: Entry) -> None:
        device = disk.text("device")
        found = _Disk(device, disk)
        for position, values in enumerate(disk.mappings("partitions")):
            part = self._entry(
                values, f"{self._path}: storage.disks[{number}].partitions[{position}]"
            )
            if part.has("shouldExist") and not part.flag("shouldExist"):
                part.lose("shouldExist", "a partition that the layout does not name is not kept")
                part.forget()
                continue
            index = part.number("number") or len(found.parts) + 1
            given = part.text("label")
            label = self._labels.give([given, f"disk{number + 1}-part{index}"])
            if given and label != given:
                part.lose("label", f"becomes {label}: names are given once")
            found.parts.append((label, part))
            if given:
                self._names[f"/dev/disk/by-partlabel/{given}"] = label
            joint = "p" if device[-1:].isdigit() else ""
            self._names |= {f"{device}{joint}{index}": label, f"{device}-part{index}": label}
        if found.parts:
            self._disks.append(found)
        else:
            self._bare[device] = disk

    def _name_volumes(self, raids: list[Entry], volumes: list[Entry]) -> None:
        for array in raids:
            name = self._labels.give([array.text("name")])
            self._names |= {f"/dev/md/{name}": name, f"/dev/disk/by-id/md-name-any:{name}": name}
        for volume in volumes:
            name = self._labels.give([volume.text("name")])
            self._names |= {f"/dev/mapper/{name}": name, f"/dev/disk/by-id/dm-name-{name}": name}

    def _named(self, user: Entry, devices: list[str]) -> tuple[str, ...]:
        """The layout's names of `devices`; a disk that is used whole gets a partition."""
        for device in devices:
            if device in self._names:
                continue
            if _MADE.match(device):
                raise BadInput(
                    f"{user.place}: {device!r} is made by nothing in this configuration",
                    hint="it relies on partitions of an image of a whole disk: deploy that",
                )
            label = self._labels.give([device.rpartition("/")[2]])
            self._names[device] = label
            disk = self._bare.pop(device, user)
            self._disks.append(_Disk(device, disk, [(label, self._entry({}, user.place))]))
            self._losses.add(user.place, device, "used whole there, by one partition here")
        return tuple(self._names[device] for device in devices)

    def _read_filesystem(self, filesystem: Entry) -> None:
        (name,) = self._named(filesystem, [filesystem.text("device")])
        kind = filesystem.text("format")
        form = format_named(kind)
        if form is None and kind not in ("", "none"):
            filesystem.lose("format", "a layout makes no such filesystem: nothing is made")
        mount = filesystem.text("path")
        if form is None and mount:
            filesystem.lose("path", "its filesystem is not made")
        for key in ("label", "uuid"):
            filesystem.lose(key, _IDENTITY)
        filesystem.lose("options", "mkfs gets those of Swarmstrap")
        if filesystem.has("wipeFilesystem") and not filesystem.flag("wipeFilesystem"):
            filesystem.lose("wipeFilesystem", "is made anew in every deployment")
        self._held[name] = Held(
            format=form,
            mount=mount if form else "",
            mount_options=",".join(filesystem.texts("mountOptions")) or "defaults",
        )

    def _disk_layouts(self) -> Iterator[DiskLayout]:
        ids = Labels()
        for disk in self._disks:
            match = disk_hint(disk.device)
            if not match or "coreos-boot-disk" in disk.device:
                self._losses.add(disk.entry.place, disk.device, NO_LASTING_NAME)
                match = {}
            yield DiskLayout(
                id=ids.give([disk.device.rpartition("/")[2]]),
                match=match,
                wipe="anything" if disk.entry.flag("wipeTable") else "empty-only",
                partitions=tuple(self._partitions(disk)),
            )

    def _partitions(self, disk: _Disk) -> Iterator[Partition]:
        for number, (label, part) in enumerate(disk.parts, start=1):
            if part.number("number", number) not in (0, number):
                part.lose("number", f"becomes {number}: partitions are counted from 1")
            part.lose("startMiB", "partitions follow one another")
            part.lose("guid", _IDENTITY)
            if part.flag("resize"):
                part.lose("resize", "a partition that is kept keeps its size")
            part.flag("wipePartitionEntry")  # what the layout names is always written
            part.flag("shouldExist")
            size = part.number("sizeMiB")
            held = self._held.get(label, nothing_held())
            kind = self._type(label, part, held)
            yield Partition(
                label=label,
                type=kind,
                size=written(size * MiB) if size else "",
                weight=0 if size else 1,
                **on_esp(kind, held),
            )
            part.lose_rest()

    def _type(self, label: str, part: Entry, held: Held) -> PartitionType:
        guid = part.text("typeGuid").lower()
        if user := self._users.get(label):
            return user
        by_use = type_for(held["mount"], held["format"])
        if guid and guid not in TYPES:
            part.lose("typeGuid", f"{by_use} instead")
        return by_use if by_use != "linux" else TYPES.get(guid, by_use)

    def _array(self, array: Entry) -> Raid:
        level = level_named(array.text("level"))
        if level is None:
            raise array.problem("level", "is none of raid0, 1, 4, 5, 6 and 10")
        array.lose("options", "mdadm gets those of Swarmstrap")
        name = array.text("name")
        return Raid(
            name=name,
            level=level,
            devices=self._named(array, array.texts("devices")),
            spares=array.number("spares"),
            **self._held.get(name, nothing_held()),
        )

    def _sealed(self, volume: Entry) -> Luks:
        (device,) = self._named(volume, [volume.text("device")])
        for key in ("keyFile", "clevis", "cex"):
            volume.lose(key, "the server makes a key for each node and keeps it")
        for key in ("options", "openOptions"):
            volume.lose(key, "cryptsetup gets those of Swarmstrap")
        for key in ("label", "uuid"):
            volume.lose(key, _IDENTITY)
        volume.flag("discard")  # is allowed in every crypttab that is written
        volume.flag("wipeVolume")  # is made anew in every deployment
        name = volume.text("name")
        return Luks(name=name, device=device, **self._held.get(name, nothing_held()))
