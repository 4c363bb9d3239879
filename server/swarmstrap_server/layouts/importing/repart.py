# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-repart's partition definitions: a folder of repart.d, or one file of it.

Mount points follow from types, as systemd-gpt-auto-generator has them (repart.d(5), the
Discoverable Partitions Specification), unless MountPoint= says otherwise.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.layout import (
    DiskLayout,
    Format,
    KeySource,
    Layout,
    Luks,
    Partition,
    PartitionType,
    Subvolume,
)
from swarmstrap_server.layouts.importing.meaning import (
    TYPES,
    Held,
    Labels,
    format_named,
    on_esp,
    written,
)
from swarmstrap_server.layouts.importing.reading import Entry, Losses
from swarmstrap_server.layouts.importing.unitfile import read_section

# By identifier, architectures taken off: the type and where it is mounted.
_TYPES: Mapping[str, tuple[PartitionType, str]] = {
    "esp": ("esp", "/boot/efi"),
    "xbootldr": ("linux", "/boot"),
    "swap": ("swap", ""),
    "home": ("home", "/home"),
    "srv": ("srv", "/srv"),
    "var": ("var", "/var"),
    "tmp": ("linux", "/var/tmp"),
    "root": ("root", "/"),
    "usr": ("linux", "/usr"),
    "linux-generic": ("linux", ""),
}
# By type, for those of which there is one.
_MOUNTS: Mapping[PartitionType, str] = {
    kind: mount for kind, mount in _TYPES.values() if kind != "linux"
}
_ARCHITECTURE = re.compile(r"(root|usr)(-(?!secondary)[a-z0-9-]+)?")
_LEAST = "10M"
_WEIGHT = 1000
_NO = frozenset({"", "off", "no", "false", "0", "n", "f"})
# Settings that say nothing when they are off, as they are by default.
_OFF = ("Minimize", "Verity", "FactoryReset", "NoAuto", "ReadOnly", "Integrity")
_YES = frozenset({"on", "yes", "true", "1", "y", "t"})


def read_repart(path: Path, losses: Losses) -> Layout:
    """Raises BadInput for a folder without definitions, and for what is none."""
    files = sorted(path.glob("*.conf")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"{path}: no definitions", hint="a folder of repart.d has *.conf in it")
    for extra in sorted(path.glob("*.conf.d")):
        losses.add(str(extra), "drop-ins", "are not read: merge them first")
    definitions = [read_section(file, "Partition", ("MountPoint",), losses) for file in files]
    found = _Definitions(definitions)
    partitions = tuple(_weighed(list(found.partitions())))
    for definition in definitions:
        definition.lose_rest()
    losses.add(str(path), "the disk", "any fits, when it is the only one: write a `match`")
    disk = DiskLayout(id="system", partitions=partitions)
    return Layout(disks=(disk,), luks=tuple(found.luks))


class Sizes(TypedDict):
    """The keys of a layout's Sized."""

    size: str
    size_min: str
    size_max: str
    weight: int


class _Definitions:
    """The partitions of all files, and the LUKS volumes that some of them are."""

    def __init__(self, definitions: Sequence[Entry]) -> None:
        self._definitions = definitions
        self._labels = Labels()
        self.luks: list[Luks] = []

    def partitions(self) -> Iterator[Partition]:
        self._note_like_priorities()
        for definition in self._definitions:
            known = _type(definition)
            if known is None:
                definition.lose("Type", "a layout makes no such partition")
                definition.forget()
                continue
            kind, mount = known
            label = definition.text("Label")
            if "%" in label:
                definition.lose("Label", "specifiers are not expanded")
                label = ""
            name = self._labels.give([label, definition.text("Type", "linux-generic")])
            if label and name != label:
                definition.changed("Label", f"becomes {name}")
            yield self._partition(definition, name, kind, mount)

    def _partition(
        self, definition: Entry, label: str, kind: PartitionType, mount: str
    ) -> Partition:
        definition.lose("UUID", "follows from the deployment, the node and the label")
        for key in _OFF:
            if definition.text(key).lower() not in _NO:
                definition.lose(key, "a layout has nothing like it")
        if definition.text("GrowFileSystem", "yes").lower() not in _YES:
            definition.lose("GrowFileSystem", "a filesystem is made as large as its partition")
        held, subvolumes = _held(definition, kind, mount)
        sizes = _sizes(definition)
        priority = max(0, int(definition.text("Priority", "0")))
        if priority and held["mount"] == "/":
            definition.lose("Priority", "what holds / is never dropped")
            priority = 0
        sealed = definition.text("Encrypt").lower()
        if sealed in _NO:
            return Partition(
                label=label,
                type=kind,
                priority=priority,
                subvolumes=subvolumes,
                **sizes,
                **on_esp(kind, held),
            )
        self._seal(definition, label, held, subvolumes)
        if priority:
            definition.lose("Priority", "an encrypted partition is never dropped")
        return Partition(label=label, type="luks", **sizes)

    def _seal(
        self, definition: Entry, label: str, held: Held, subvolumes: tuple[Subvolume, ...]
    ) -> None:
        in_tpm2 = "tpm2" in definition.text("Encrypt")
        if not in_tpm2:
            definition.lose("Encrypt", "the server makes a key for each node and keeps it")
        definition.lose("KeyFile", "the server makes a key for each node and keeps it")
        name, _, options = definition.text("EncryptedVolume").partition(":")
        if options:
            definition.lose("EncryptedVolume", "of its fields only the name is kept")
        name = self._labels.give([definition.text("VolumeName") or name, f"{label}-crypt"])
        key: KeySource = "tpm2" if in_tpm2 else "server"
        self.luks.append(Luks(name=name, device=label, key=key, subvolumes=subvolumes, **held))

    def _note_like_priorities(self) -> None:
        ranks = Counter(definition.text("Priority", "0") for definition in self._definitions)
        for definition in self._definitions:
            rank = definition.text("Priority", "0")
            if not re.fullmatch(r"-?\d+", rank):
                raise definition.problem("Priority", "is not a whole number")
            if int(rank) > 0 and ranks[rank] > 1:
                definition.changed("Priority", "the last one goes first here, not all of a rank")


def _type(definition: Entry) -> tuple[PartitionType, str] | None:
    name = definition.text("Type", "linux-generic").lower()
    if name in TYPES:
        return TYPES[name], _MOUNTS.get(TYPES[name], "")
    if _ARCHITECTURE.fullmatch(name) and not name.endswith(("-verity", "-verity-sig")):
        name = name.partition("-")[0]
    return _TYPES.get(name)


def _held(definition: Entry, kind: PartitionType, mount: str) -> tuple[Held, tuple[Subvolume, ...]]:
    form = _format(definition, kind)
    options, subvolumes = "defaults", []
    points = definition.texts("MountPoint")
    if points:
        mount = ""
    for point in points:
        place, _, given = point.replace('"', "").partition(":")
        words = [word.strip() for word in given.split(",") if word.strip()]
        names = [word.removeprefix("subvol=") for word in words if word.startswith("subvol=")]
        rest = ",".join(word for word in words if not word.startswith("subvol=")) or "defaults"
        if names and form == "btrfs":
            name = names[0].strip("/").replace("/", "-")
            subvolumes.append(Subvolume(name=name, mount=place, mount_options=rest))
        elif not mount:
            mount, options = place, rest
        else:
            definition.changed("MountPoint", f"mounted at {mount} alone, not at {place} too")
    if subvolumes and mount:
        definition.changed("MountPoint", f"not at {mount}: only its subvolumes are mounted")
        mount = ""
    if mount and form in (None, "swap"):
        definition.changed("Type", f"without a filesystem it is not mounted at {mount}")
        mount = ""
    return Held(format=form, mount=mount, mount_options=options), tuple(subvolumes)


def _format(definition: Entry, kind: PartitionType) -> Format | None:
    name = definition.text("Format")
    form = format_named(name)
    if name and form is None:
        definition.lose("Format", "a layout makes no such filesystem: nothing is made")
    if not name and definition.has("CopyFiles"):
        # What systemd-repart takes where files are to be copied into no format.
        form = "vfat" if kind == "esp" else "ext4"
    implied: dict[PartitionType, Format] = {"esp": "vfat", "swap": "swap"}
    return form or implied.get(kind)


def _sizes(definition: Entry) -> Sizes:
    """repart's minimum is 10 MiB unless said otherwise; weight 0 takes no more than the minimum."""
    least = definition.size("SizeMinBytes", _LEAST)
    most = definition.size("SizeMaxBytes")
    weight = definition.number("Weight", _WEIGHT)
    if weight == 0 or most == least:
        return Sizes(size=written(least), size_min="", size_max="", weight=0)
    upper = written(most) if most else ""
    return Sizes(size="", size_min=written(least), size_max=upper, weight=weight)


def _weighed(partitions: Sequence[Partition]) -> Iterator[Partition]:
    """The same proportions in small numbers: repart's weights are around 1000."""
    common = math.gcd(*(partition.weight for partition in partitions))
    for partition in partitions:
        yield msgspec.structs.replace(partition, weight=partition.weight // max(1, common))
