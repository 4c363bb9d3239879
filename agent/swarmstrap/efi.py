# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot entries as UEFI firmware keeps them, and in which order it is to try them. Pure.

Layouts of bytes: EFI_LOAD_OPTION, 3.1.3, and device paths, 10.3, of UEFI 2.10.
"""

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from swarmstrap.errors import BadInput
from swarmstrap.volumes import PartitionVolume
from swarmstrap.wire import BootOrder

_ACTIVE = 1
_MEDIA, _HARD_DRIVE, _FILE = 4, 1, 4
_MESSAGING, _NETWORK = 3, (11, 12, 13, 24)  # MAC address, IPv4, IPv6, URI
_END, _END_ENTIRE = 0x7F, 0xFF
_GPT, _MBR = (2, 2), (1, 1)  # partition format and signature type
_HARD_DRIVE_NODE = struct.Struct("<IQQ16sBB")
_FREE_NUMBERS = range(0x10000)


class _Node(NamedTuple):
    """Of a device path."""

    kind: int
    subkind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A boot entry. `partition` is a PARTUUID as Linux has it, empty for what is on no partition;
    `file` the loader on it, in the firmware's spelling.
    """

    label: str
    partition: str
    file: str
    network: bool


@dataclass(frozen=True, slots=True)
class Firmware:
    """`current` is the entry of this boot; `order` may name entries that are not there."""

    entries: Mapping[int, Entry]
    order: tuple[int, ...]
    current: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a Firmware: `written` maps the numbers of entries to their variables."""

    removed: tuple[int, ...]
    written: Mapping[int, bytes]
    order: tuple[int, ...]


def encode(label: str, esp: PartitionVolume, loader: str) -> bytes:
    """The variable of an entry that starts `loader`, a path relative to the top of `esp`."""
    nodes = [
        _Node(_MEDIA, _HARD_DRIVE, _hard_drive(esp)),
        _Node(_MEDIA, _FILE, _text(spelled(loader))),
        _Node(_END, _END_ENTIRE, b""),
    ]
    path = b"".join(
        struct.pack("<BBH", node.kind, node.subkind, 4 + len(node.data)) + node.data
        for node in nodes
    )
    return struct.pack("<IH", _ACTIVE, len(path)) + _text(label) + path


def spelled(loader: str) -> str:
    return "\\" + loader.strip("/").replace("/", "\\")


def _hard_drive(esp: PartitionVolume) -> bytes:
    """Places are in the disk's own sectors."""
    part, sector = esp.partition, esp.disk.logical_sector
    try:
        signature, kind = uuid.UUID(part.uuid).bytes_le, _GPT
    except ValueError:
        # An MBR has four bytes; its PARTUUID is those and the partition's number.
        number = int(part.uuid.partition("-")[0], 16)
        signature, kind = number.to_bytes(4, "little") + bytes(12), _MBR
    return _HARD_DRIVE_NODE.pack(
        part.number, part.start // sector, part.size // sector, signature, *kind
    )


def _text(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def decode(variable: bytes) -> Entry:
    """Raises BadInput for what is no boot entry; firmware has been seen to keep such."""
    try:
        return _decode(variable)
    except (struct.error, StopIteration) as error:
        raise BadInput("not a boot entry") from error


def _decode(variable: bytes) -> Entry:
    _, length = struct.unpack_from("<IH", variable)
    end = next(i for i in range(6, len(variable), 2) if variable[i : i + 2] == b"\0\0")
    nodes = list(_nodes(variable[end + 2 : end + 2 + length]))
    partition = file = ""
    for node in nodes:
        if (node.kind, node.subkind) == (_MEDIA, _HARD_DRIVE):
            partition = _partition(node.data)
        elif (node.kind, node.subkind) == (_MEDIA, _FILE):
            file += _shown(node.data)
    network = any(node.kind == _MESSAGING and node.subkind in _NETWORK for node in nodes)
    return Entry(_shown(variable[6:end]), partition, file, network)


def _shown(text: bytes) -> str:
    return text.decode("utf-16-le", errors="replace").rstrip("\0")


def _nodes(path: bytes) -> Iterator[_Node]:
    place = 0
    while place < len(path):
        kind, subkind, length = struct.unpack_from("<BBH", path, place)
        if kind == _END or length < 4:
            return
        yield _Node(kind, subkind, path[place + 4 : place + length])
        place += length


def _partition(data: bytes) -> str:
    number, _, _, signature, *kind = _HARD_DRIVE_NODE.unpack_from(data)
    if tuple(kind) == _GPT:
        return str(uuid.UUID(bytes_le=signature))
    return f"{int.from_bytes(signature[:4], 'little'):08x}-{number:02x}"


def change(
    firmware: Firmware,
    wanted: Mapping[str, PartitionVolume],
    loader: str,
    present: Set[str],
    order: BootOrder,
    netbooted: bool,
) -> Change:
    """What gives each label of `wanted` its entry, and each its place.

    An entry of a wanted label goes when it is for another loader of the wanted ESPs, or for a
    partition that is not among `present`, the PARTUUIDs of this machine: an earlier deployment
    left it. The same again changes nothing.
    """
    numbers: dict[str, int] = {}
    removed = []
    ours = {esp.partition.uuid.lower() for esp in wanted.values()}
    for number, entry in sorted(firmware.entries.items()):
        if entry.label not in wanted or not entry.partition:
            continue
        esp = wanted[entry.label]
        same = (entry.partition, entry.file) == (esp.partition.uuid.lower(), spelled(loader))
        if same and entry.label not in numbers:
            numbers[entry.label] = number
        elif entry.partition in ours or entry.partition not in present:
            removed.append(number)
    taken = firmware.entries.keys() - removed
    written = {}
    for label, esp in wanted.items():
        if label not in numbers:
            numbers[label] = next(n for n in _FREE_NUMBERS if n not in taken and n not in written)
            written[numbers[label]] = encode(label, esp, loader)
    left = [n for n in firmware.order if n in taken and n not in numbers.values()]
    new = [numbers[label] for label in wanted]
    first = list(_network(firmware, left, netbooted)) if order == "network-first" else []
    rest = [number for number in left if number not in first]
    return Change(tuple(removed), written, (*first, *new, *rest))


def _network(firmware: Firmware, left: Sequence[int], netbooted: bool) -> Iterator[int]:
    """The entry by which the node has just come, then the others of the network as they stand."""
    network = [n for n in left if firmware.entries[n].network]
    current = firmware.current
    if current is not None and current in left and (netbooted or current in network):
        yield current
    yield from (number for number in network if number != current)
