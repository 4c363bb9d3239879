# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tracker and its peers say to each other: BEP 3, with the compact lists of BEP 23."""

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from swarmstrap.errors import BadInput
from swarmstrap_server.swarm.circles import Endpoint

Ended = Literal["", "stopped", "completed"]
Bencoded = int | bytes | list["Bencoded"] | dict[bytes, "Bencoded"]

_DEFAULT_WANTED = 50
# `started`, and what BEP 21 and others add, changes nothing here.
_EVENTS: dict[bytes, Ended] = {b"stopped": "stopped", b"completed": "completed"}
HASH_BYTES = 20  # v2 infohashes are truncated to this on the wire (BEP 52)


@dataclass(frozen=True, slots=True)
class Announce:
    """One request, decoded. `infohash` is 20 bytes, `left` counts bytes."""

    infohash: bytes
    port: int
    left: int
    event: Ended
    wanted: int


def parse_announce(query: str) -> Announce:
    """Raises BadInput, in the words of a tracker's failure reason."""
    fields: dict[str, bytes] = {}
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        fields[key] = unquote_to_bytes(value.replace("+", " "))
    infohash, peer_id = fields.get("info_hash", b""), fields.get("peer_id", b"")
    if len(infohash) != HASH_BYTES or len(peer_id) != 20:
        raise BadInput("info_hash and peer_id must be 20 bytes each")
    port = _number(fields, "port", None)
    if not 0 < port < 1 << 16:
        raise BadInput("port must be 1 to 65535")
    return Announce(
        infohash=infohash,
        port=port,
        left=_number(fields, "left", 0),
        event=_EVENTS.get(fields.get("event", b""), ""),
        wanted=_number(fields, "numwant", _DEFAULT_WANTED),
    )


def _number(fields: Mapping[str, bytes], name: str, default: int | None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit() or len(text) > 18:
        raise BadInput(f"{name} must be a number")
    return int(text)


def compact(endpoints: Iterable[Endpoint]) -> bytes:
    """Six bytes a peer: IPv4 address and port, in network order."""
    return b"".join(
        ipaddress.IPv4Address(address).packed + struct.pack(">H", port)
        for address, port in endpoints
    )


def bencode(value: Bencoded) -> bytes:
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case list():
            return b"l%be" % b"".join(map(bencode, value))
        case dict():
            pairs = (bencode(key) + bencode(value[key]) for key in sorted(value))
            return b"d%be" % b"".join(pairs)
