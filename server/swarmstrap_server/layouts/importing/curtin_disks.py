# SPDX-License-Identifier: GPL-2.0-or-later
"""curtin's disks and partitions."""

import re
from collections.abc import Iterator, Mapping

from swarmstrap.layout import DiskLayout, Partition, PartitionType, Prefer, Table, Wipe
from swarmstrap.units import MiB, parse_size
from swarmstrap_server.layouts.importing.curtin_volumes import Volumes
from swarmstrap_server.layouts.importing.meaning import (
    NO_LASTING_NAME,
    TYPES,
    Labels,
    disk_hint,
    on_esp,
    type_for,
)
from swarmstrap_server.layouts.importing.reading import Entry

_FLAGS: Mapping[str, PartitionType] = {
    "bios_grub": "bios-boot",
    "boot": "esp",
    "swap": "swap",
    "home": "home",
}
_MOST_IN_MBR = 4
_OVERWRITING = ("zero", "random")


class CurtinDisks:
    """The disks of a configuration, each with its partitions."""

    def __init__(self, actions: Mapping[str, list[Entry]], volumes: Volumes) -> None:
        self._disks = actions["disk"]
        self._partitions = actions["partition"]
        self._volumes = volumes
        self._labels = volumes.labels
        self._ids = Labels()

    def layouts(self) -> Iterator[DiskLayout]:
        for action in self._disks:
            identity = action.text("id")
            parts = [part for part in self._partitions if part.text("device") == identity]
            kept = [part for part in parts if part.text("flag") != "extended"]
            for part in parts:
                if part not in kept:
                    part.lose("flag", "a layout has no logical partitions, and needs no such one")
                    part.forget()
            table = self._table(action, len(kept))
            partitions = list(self._listed(kept, table))
            if not parts and (whole := self._whole(action)):
                partitions = [whole]
            if not partitions:
                action.lose("id", "nothing of the layout is on this disk, which is left alone")
                action.forget()
                continue
            yield self._disk(action, identity, table, partitions)

    def _disk(
        self, action: Entry, identity: str, table: Table, partitions: list[Partition]
    ) -> DiskLayout:
        for key, why in (
            ("grub_device", "the boot loader goes to every disk that / or /boot is on"),
            ("name", "udev's own links in /dev/disk are there"),
            ("multipath", "match the disk by its WWN"),
        ):
            if action.text(key) if key != "grub_device" else action.flag(key):
                action.lose(key, why)
        match, prefer = self._match(action)
        if not match and prefer is None:
            action.changed("id", "nothing says which disk: any fits, when it is the only one")
        return DiskLayout(
            id=self._ids.give([identity]),
            match=match,
            prefer=prefer,
            ptable=table,
            wipe=self._wipe(action, partitions),
            partitions=tuple(partitions),
        )

    def _table(self, action: Entry, count: int) -> Table:
        table = action.text("ptable", "gpt")
        if table not in ("gpt", "msdos", "dos"):
            action.lose("ptable", "gpt instead")
        if table not in ("msdos", "dos"):
            return "gpt"
        if count > _MOST_IN_MBR:
            action.lose("ptable", f"gpt instead, for {count} partitions; BIOS starts from that too")
            return "gpt"
        return "msdos"

    def _wipe(self, action: Entry, partitions: list[Partition]) -> Wipe:
        preserved = any(partition.preserve for partition in partitions)
        if action.flag("preserve") and not preserved:
            action.lose("preserve", "none of its partitions is preserved")
        wipe = action.text("wipe")
        if wipe in _OVERWRITING:
            action.lose("wipe", "what is there is made unreadable, not overwritten")
        if preserved and not all(partition.preserve for partition in partitions):
            # curtin replaces the others without a word.
            return "ordinary"
        return "anything" if wipe else "empty-only"

    def _match(self, action: Entry) -> tuple[dict[str, str | int | bool], Prefer | None]:
        match: dict[str, str | int | bool] = {}
        for key in ("serial", "wwn"):
            if value := action.text(key):
                match[key] = value
        path = action.text("path")
        match |= disk_hint(path)
        if path and not disk_hint(path):
            action.lose("path", NO_LASTING_NAME)
        if "_" in action.text("serial"):
            action.changed("serial", "is compared as `swarmstrap-agent inventory` shows it")
        # Read by nobody but people: curtin does not choose by it.
        action.lose("model", "curtin does not choose by it, and a layout would")
        prefer = self._match_of_autoinstall(action, match)
        return match, prefer

    def _match_of_autoinstall(
        self, action: Entry, match: dict[str, str | int | bool]
    ) -> Prefer | None:
        """Subiquity's `match`, whose globs are read as far as a part of a text goes."""
        given = action.inside("match")
        size = given.text("size")
        if given.has("ssd"):
            match["rotational"] = not given.flag("ssd")
        for key in ("serial", "model", "vendor"):
            if not (pattern := given.text(key)):
                continue
            part = pattern.strip("*")
            if not part or re.search(r"[*?\[]", part):
                given.lose(key, "a layout has no wildcards but around a text")
            else:
                match[key] = f"<in> {part}" if part != pattern else part
        known: dict[str, Prefer] = {"smallest": "smallest", "largest": "largest"}
        if size not in known:
            given.lose("size", "is neither smallest nor largest")
        given.lose_rest()
        return known.get(size)

    def _whole(self, action: Entry) -> Partition | None:
        """curtin builds on whole disks; here a partition takes all the room."""
        identity = action.text("id")
        user, held = self._volumes.users.get(identity), self._volumes.of(identity)
        if user is None and held["format"] is None:
            return None
        action.changed("id", "used whole there, and by one partition that fills it here")
        label = self._labels.give([held["mount"].strip("/"), identity])
        self._volumes.names[identity] = label
        kind = user or type_for(held["mount"], held["format"])
        return Partition(label=label, type=kind, weight=1, **held)

    def _listed(self, parts: list[Entry], table: Table) -> Iterator[Partition]:
        end: int = MiB
        for number, part in enumerate(parts, start=1):
            size = self._volumes.size(part)
            if part.number("number", number) != number:
                part.lose("number", f"becomes {number}: partitions are counted from 1")
            offset = part.size("offset", str(end))
            if offset != end:
                part.lose("offset", "partitions follow one another")
            end = offset + _bytes(size)
            yield self._partition(part, table, size)

    def _partition(self, part: Entry, table: Table, size: str) -> Partition:
        identity, named = (
            part.text("id"),
            "partition_name" if part.has("partition_name") else "name",
        )
        name, held = part.text(named), self._volumes.of(identity)
        label = self._labels.give([name, identity])
        self._volumes.names[identity] = label
        if name and label != name:
            part.changed(named, f"becomes {label}")
        kind = self._type(part, table)
        if kind == "esp" and not held["mount"]:
            part.changed("id", "an ESP is mounted at /boot/efi")
        preserve = part.flag("preserve")
        if preserve and not name:
            part.changed("preserve", f"is looked for by its label, which is written as {label}")
        if part.text("wipe") in _OVERWRITING:
            part.lose("wipe", "what is there is made unreadable, not overwritten")
        if part.flag("grub_device"):
            part.lose("grub_device", "the boot loader goes to every ESP")
        if part.flag("resize"):
            part.lose("resize", "what is preserved keeps its size")
        part.lose("uuid", "follows from the deployment, the node and the label")
        return Partition(
            label=label,
            type=kind,
            size=size,
            weight=0 if size else 1,
            preserve=preserve,
            **on_esp(kind, held),
        )

    def _type(self, part: Entry, table: Table) -> PartitionType:
        held = self._volumes.of(part.text("id"))
        guid = part.text("partition_type").lower()
        user = self._volumes.users.get(part.text("id"))
        flagged = None if part.text("flag") == user else self._type_of_flag(part, table)
        if user and flagged:
            part.lose("flag", f"{user} instead")
        kind = user or flagged or TYPES.get(guid) or type_for(held["mount"], held["format"])
        if guid and TYPES.get(guid) != kind:
            part.lose("partition_type", f"{kind} instead")
        return kind

    def _type_of_flag(self, part: Entry, table: Table) -> PartitionType | None:
        """Nothing when the flag says less than what the partition holds."""
        flag, held = part.text("flag"), self._volumes.of(part.text("id"))
        # Which partition of an MBR is active follows from where /boot is.
        if flag == "linux" or (flag == "boot" and table == "msdos"):
            return None
        if flag == "boot" and held["format"] not in (None, "vfat"):
            part.lose("flag", f"is not set: no ESP is {held['format']}")
            return None
        if flag == "logical":
            part.lose("flag", "a partition like the others")
        elif flag and flag not in _FLAGS:
            part.lose("flag", "is not set")
        return _FLAGS.get(flag)


def _bytes(size: str) -> int:
    return parse_size(size) if size and not size.endswith("%") else 0
