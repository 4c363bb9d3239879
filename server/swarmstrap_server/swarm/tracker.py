# SPDX-License-Identifier: GPL-2.0-or-later
"""A BitTorrent tracker over HTTP (BEP 3, compact answers of BEP 23) for the site's own torrents.

It answers only for infohashes it was given, trusts the address a request came from and never the
one it claims, and names the site's seeder first.
"""

import ipaddress
import random
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from swarmstrap.errors import BadInput

Endpoint = tuple[str, int]
Ended = Literal["", "stopped", "completed"]
Bencoded = int | bytes | list["Bencoded"] | dict[bytes, "Bencoded"]

# Nodes of one deployment start within seconds of each other: let them meet soon.
INTERVAL_SECONDS = 5
# A peer that missed this many announces is gone.
_MISSED = 6
_DEFAULT_WANTED = 50
_MOST_WANTED = 200
# `started`, and what BEP 21 and others add, changes nothing here.
_EVENTS: dict[bytes, Ended] = {b"stopped": "stopped", b"completed": "completed"}
_HASH_BYTES = 20  # v2 infohashes are truncated to this on the wire (BEP 52)


@dataclass(frozen=True, slots=True)
class Announce:
    """One request, decoded. `infohash` and `peer_id` are 20 bytes, `left` is bytes."""

    infohash: bytes
    peer_id: bytes
    port: int
    left: int
    event: Ended
    wanted: int


@dataclass(slots=True)
class _Peer:
    left: int
    heard: float


@dataclass(slots=True)
class Counters:
    announces: int = 0
    completed: int = 0
    refused: int = 0


class Tracker:
    """`seeder` is in every answer but its own; `clock` is monotonic seconds."""

    def __init__(self, seeder: Endpoint, clock: Callable[[], float]) -> None:
        self._seeder = seeder
        self._clock = clock
        self._swarms: dict[bytes, dict[Endpoint, _Peer]] = {}
        self.counters = Counters()

    def track(self, infohashes: Iterable[str]) -> None:
        """Answer for these (hex of the full v2 hash) and forget all others."""
        wanted = {bytes.fromhex(infohash)[:_HASH_BYTES] for infohash in infohashes}
        self._swarms = {key: self._swarms.get(key, {}) for key in wanted}

    def announce(self, query: str, address: str) -> bytes:
        """The bencoded answer to the raw query string of a GET /announce from `address`."""
        self.counters.announces += 1
        try:
            announce = parse_announce(query)
            swarm = self._swarms[announce.infohash]
        except BadInput as error:
            self.counters.refused += 1
            return bencode({b"failure reason": error.message.encode()})
        except KeyError:
            self.counters.refused += 1
            return bencode({b"failure reason": b"no image of this site has that infohash"})
        return bencode(self._answer(announce, swarm, (address, announce.port)))

    @property
    def peers(self) -> int:
        return sum(len(swarm) for swarm in self._swarms.values())

    def _answer(
        self, announce: Announce, swarm: dict[Endpoint, _Peer], me: Endpoint
    ) -> dict[bytes, Bencoded]:
        now = self._clock()
        if announce.event == "stopped":
            swarm.pop(me, None)
        else:
            swarm[me] = _Peer(announce.left, now)
        self.counters.completed += announce.event == "completed"
        for gone in [p for p, s in swarm.items() if now - s.heard > _MISSED * INTERVAL_SECONDS]:
            del swarm[gone]
        complete = sum(peer.left == 0 for peer in swarm.values())
        return {
            b"complete": complete,
            b"incomplete": len(swarm) - complete,
            b"interval": INTERVAL_SECONDS,
            b"min interval": INTERVAL_SECONDS,
            b"peers": compact(self._chosen(announce, swarm, me)),
        }

    def _chosen(
        self, announce: Announce, swarm: Mapping[Endpoint, _Peer], me: Endpoint
    ) -> list[Endpoint]:
        if announce.event == "stopped":
            return []
        # Seeds have nothing to ask of each other.
        others = [
            endpoint
            for endpoint, peer in swarm.items()
            if endpoint not in (me, self._seeder) and (announce.left or peer.left)
        ]
        first = [] if me == self._seeder else [self._seeder]
        count = max(0, min(announce.wanted, _MOST_WANTED) - len(first))
        return first + random.sample(others, min(count, len(others)))


def parse_announce(query: str) -> Announce:
    """Raises BadInput, in the words of a tracker's failure reason."""
    fields: dict[str, bytes] = {}
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        fields[key] = unquote_to_bytes(value.replace("+", " "))
    infohash, peer_id = fields.get("info_hash", b""), fields.get("peer_id", b"")
    if len(infohash) != _HASH_BYTES or len(peer_id) != 20:
        raise BadInput("info_hash and peer_id must be 20 bytes each")
    port = _number(fields, "port", None)
    if not 0 < port < 1 << 16:
        raise BadInput("port must be 1 to 65535")
    return Announce(
        infohash=infohash,
        peer_id=peer_id,
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
