# SPDX-License-Identifier: GPL-2.0-or-later
"""curtin's storage configuration, version 1 and 2, as MAAS and autoinstall write it.

A list of actions that refer to each other by id (curtin, doc/topics/storage.rst, block/schemas.py).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from swarmstrap.layout import Layout, LogicalVolume, Luks, Raid, RaidMetadata, VolumeGroup
from swarmstrap_server.layouts.importing.curtin_disks import CurtinDisks
from swarmstrap_server.layouts.importing.curtin_volumes import Volumes
from swarmstrap_server.layouts.importing.meaning import level_named
from swarmstrap_server.layouts.importing.reading import Entry, Losses, Where
from swarmstrap_server.site.yamlfile import Document, Steps, load

_VERSIONS = (1, 2)
_METADATA: Mapping[str, RaidMetadata] = {
    "1.0": "1.0",
    "1.1": "1.1",
    "1.2": "1.2",
    "default": "1.2",
}
_KNOWN = (
    *("disk", "partition", "format", "mount"),
    *("raid", "lvm_volgroup", "lvm_partition", "dm_crypt"),
)


def read_curtin(path: Path, losses: Losses) -> Layout:
    """Raises BadInput for what is no storage configuration."""
    document = load(path, dict[str, object], name=str(path))
    where, storage = _storage(document, losses)
    if storage.number("version", 1) not in _VERSIONS:
        raise storage.problem("version", "is neither 1 nor 2")
    if storage.inside("swap").text("size", "0") != "0":
        storage.lose("swap", "a layout makes swap partitions, and no swap file")
    actions: dict[str, list[Entry]] = {kind: [] for kind in _KNOWN}
    for action in _actions(document, where, storage, losses):
        kind = action.text("type")
        if kind in actions:
            actions[kind].append(action)
        else:
            action.lose("type", f"a layout makes nothing of this kind: {action.text('id')}")
            action.forget()
    _lose_homeless(actions, "partition", "device", "disk", "only disks have partitions")
    _lose_homeless(actions, "lvm_partition", "volgroup", "lvm_volgroup", "it is not there")
    volumes = Volumes(actions)
    layout = Layout(
        disks=tuple(CurtinDisks(actions, volumes).layouts()),
        raid=tuple(_array(action, volumes) for action in actions["raid"]),
        luks=tuple(_luks(action, volumes) for action in actions["dm_crypt"]),
        volume_groups=tuple(_groups(actions, volumes)),
    )
    volumes.lose_unasked(actions)
    for entries in (*actions.values(), [storage]):
        for entry in entries:
            entry.lose_rest()
    losses.sort_by_line()
    return layout


def _lose_homeless(
    actions: dict[str, list[Entry]], kind: str, key: str, homes: str, why: str
) -> None:
    """Leaves out the actions of `kind` whose `key` leads to none of kind `homes`."""
    known = {home.text("id") for home in actions[homes]}
    for action in actions[kind]:
        if action.text(key) not in known:
            action.lose(key, why)
            action.forget()
    actions[kind] = [action for action in actions[kind] if action.text(key) in known]


def _storage(document: Document[dict[str, object]], losses: Losses) -> tuple[Steps, Entry]:
    """The mapping with version and config, at the top or below one of the usual keys."""
    places: tuple[Steps, ...] = ((), ("storage",), ("autoinstall", "storage"))
    for place in places:
        found: object = document.value
        for step in place:
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, dict) and "config" in found:
            return place, Entry(found, _places(document, place), losses)
    raise document.problem(
        (), "no storage configuration", hint="it has `storage:` with `version` and a `config` list"
    )


def _actions(
    document: Document[dict[str, object]], place: Steps, storage: Entry, losses: Losses
) -> Iterator[Entry]:
    for number, values in enumerate(storage.mappings("config")):
        at: Steps = (*place, "config", number)
        yield Entry(values, _places(document, at), losses)


def _places(document: Document[dict[str, object]], above: Steps) -> Where:
    return lambda key: document.place((*above, key))


def _array(action: Entry, volumes: Volumes) -> Raid:
    action.lose("ptable", "an array holds a filesystem or volumes, no partitions")
    action.lose("container", "an array that firmware knows is not made")
    level = level_named(action.text("raidlevel"))
    if level is None:
        raise action.problem("raidlevel", "is none of 0, 1, 4, 5, 6 and 10")
    devices, spares = action.texts("devices"), action.texts("spare_devices")
    _lose_preserve(action)
    return Raid(
        name=volumes.names[action.text("id")],
        level=level,
        devices=volumes.named(action, [*devices, *spares]),
        spares=len(spares),
        metadata=_metadata(action),
        **volumes.held(action),
    )


def _metadata(action: Entry) -> RaidMetadata:
    given = action.text("metadata", "default")
    if given not in _METADATA:
        action.lose("metadata", "1.2 instead")
    return _METADATA.get(given, "1.2")


def _luks(action: Entry, volumes: Volumes) -> Luks:
    for key in ("key", "keyfile"):
        action.lose(key, "the server makes a key for each node and keeps it")
    action.lose("options", "cryptsetup's own are used")
    _lose_preserve(action)
    (device,) = volumes.named(action, [action.text("volume")])
    return Luks(name=volumes.names[action.text("id")], device=device, **volumes.held(action))


def _groups(actions: Mapping[str, list[Entry]], volumes: Volumes) -> Iterator[VolumeGroup]:
    for group in actions["lvm_volgroup"]:
        identity = group.text("id")
        _lose_preserve(group)
        members = [v for v in actions["lvm_partition"] if v.text("volgroup") == identity]
        yield VolumeGroup(
            name=group.text("name"),
            devices=volumes.named(group, group.texts("devices")),
            volumes=tuple(_logical(member, volumes) for member in members),
        )


def _logical(action: Entry, volumes: Volumes) -> LogicalVolume:
    _lose_preserve(action)
    size = volumes.size(action)
    return LogicalVolume(
        name=action.text("name"),
        size=size,
        weight=0 if size else 1,
        **volumes.held(action),
    )


def _lose_preserve(action: Entry) -> None:
    if action.flag("preserve"):
        action.lose("preserve", "only partitions are preserved; this is made anew")
