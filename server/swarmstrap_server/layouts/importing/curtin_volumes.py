# SPDX-License-Identifier: GPL-2.0-or-later
"""What curtin's actions say of each other: which volume holds what, and what is built on it."""

from collections.abc import Collection, Iterable, Mapping

from swarmstrap.layout import PartitionType
from swarmstrap_server.layouts.importing.meaning import (
    Held,
    Labels,
    format_named,
    nothing_held,
    written,
)
from swarmstrap_server.layouts.importing.reading import Entry

# Filesystems that are kin to one that a layout makes.
_REPLACED = ("ext2", "ext3")


class Volumes:
    """Everything by the id of its action; `names` is what the layout calls it."""

    def __init__(self, actions: Mapping[str, list[Entry]]) -> None:
        self.names: dict[str, str] = {}
        self.labels = Labels()
        self.users: dict[str, PartitionType] = {}
        self._held: dict[str, Held] = {}
        self._asked: set[str] = set()
        self._read_users(actions)
        preserved = {part.text("id") for part in actions["partition"] if part.flag("preserve")}
        self._read_formats(actions["format"], preserved)
        self._read_mounts(actions["mount"], actions["format"])

    def held(self, action: Entry) -> Held:
        """What is on the volume that `action` makes."""
        return self.of(action.text("id"))

    def of(self, identity: str) -> Held:
        self._asked.add(identity)
        return self._held.get(identity, nothing_held())

    def named(self, action: Entry, devices: Iterable[str]) -> tuple[str, ...]:
        """The layout's names for `devices`; raises BadInput for an id that no action has."""
        found = []
        for device in devices:
            if device not in self.names:
                raise action.problem("id", f"refers to {device!r}, which is not there")
            found.append(self.names[device])
        return tuple(found)

    def lose_unasked(self, actions: Mapping[str, list[Entry]]) -> None:
        """What was to be on a volume that the layout does not have."""
        lost = set()
        for action in actions["format"]:
            if action.text("volume") not in self._asked:
                action.lose("volume", "the layout has no such volume")
                lost.add(action.text("id"))
        for action in actions["mount"]:
            if action.text("device") in lost:
                action.lose("path", "the layout has no such volume")

    def size(self, action: Entry) -> str:
        """As a layout has it; empty for what is left over."""
        text = action.text("size")
        if not text or text.startswith("-"):
            return ""
        return text if text.endswith("%") else written(action.size("size"))

    def _read_users(self, actions: Mapping[str, list[Entry]]) -> None:
        for action in actions["raid"]:
            self._name(action, "mdname" if action.has("mdname") else "name")
            for device in (*action.texts("devices"), *action.texts("spare_devices")):
                self.users[device] = "raid"
        for action in actions["lvm_volgroup"]:
            self.users |= dict.fromkeys(action.texts("devices"), "lvm")
        for action in actions["dm_crypt"]:
            self._name(action, "dm_name")
            self.users[action.text("volume")] = "luks"
        for action in actions["lvm_partition"]:
            self.names[action.text("id")] = action.text("name")

    def _name(self, action: Entry, key: str) -> None:
        name = action.text(key)
        given = self.labels.give([name])
        self.names[action.text("id")] = given
        if given != name:
            action.changed(key, f"becomes {given}")

    def _read_formats(self, formats: Iterable[Entry], preserved: Collection[str]) -> None:
        for action in formats:
            kind = action.text("fstype")
            form = format_named(kind)
            if form is None:
                action.lose("fstype", "a layout makes no such filesystem: nothing is made")
            elif kind in _REPLACED:
                action.lose("fstype", "ext4 instead")
            for key in ("label", "uuid"):
                if action.text(key):
                    action.lose(key, "follows from the deployment, the node and the partition")
            action.lose("extra_options", "mkfs gets those of Swarmstrap")
            if action.flag("preserve") and action.text("volume") not in preserved:
                action.lose("preserve", "its partition is not preserved, so it is made anew")
            self._held[action.text("volume")] = {**nothing_held(), "format": form}

    def _read_mounts(self, mounts: Iterable[Entry], formats: Iterable[Entry]) -> None:
        volumes = {action.text("id"): action.text("volume") for action in formats}
        for action in mounts:
            path = action.text("path")
            volume = volumes.get(action.text("device"), "")
            held = self._held.get(volume)
            for key in ("freq", "passno"):
                action.lose(key, "fstab gets what fits the filesystem")
            action.text("fstype")
            action.text("id")
            if held is None:
                action.lose("path", "is not on a disk of the layout")
                action.forget()
            elif held["format"] is None:
                action.lose("path", "its filesystem is not made")
            elif held["mount"]:
                action.lose("path", f"is mounted at {held['mount']} already")
            elif held["format"] != "swap" and path != "none":
                held["mount"] = path.rstrip("/") or "/"
                held["mount_options"] = action.text("options") or "defaults"
