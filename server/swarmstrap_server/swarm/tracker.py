# SPDX-License-Identifier: GPL-2.0-or-later
"""A BitTorrent tracker over HTTP for the site's own torrents.

It answers only for infohashes it was given, and trusts the address a request came from, never the
one it claims. `neighbours` says who knows whom, `tier` who is told of which seeder. Strangers, to
whom the site gave no job, are among themselves: nodes are not told of them, nor they of nodes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from swarmstrap.errors import BadInput
from swarmstrap_server.swarm.announces import (
    HASH_BYTES,
    Announce,
    Bencoded,
    bencode,
    compact,
    parse_announce,
)
from swarmstrap_server.swarm.circles import Endpoint
from swarmstrap_server.swarm.neighbours import Neighbours
from swarmstrap_server.swarm.tier import Placed, Tier

# Nodes of one deployment start within seconds of each other: let them meet soon.
INTERVAL_SECONDS = 5
# In large swarms the interval grows, so that each announces no more than so often.
MOST_ANNOUNCES_A_SECOND = 200
# Who came last has half of its neighbours until it comes again, and half of what others get: it
# comes in a fifth of the interval.
SOONER = 5
# A peer is gone that was silent for so long, and for so many of its intervals.
GONE_SECONDS = 30.0
_MISSED = 2.5
# Of whom nothing more was received for so long, another way to the image is shown.
STALLED_SECONDS = 10.0
_MOST_WANTED = 200
# More strangers are told of the server's seeder only.
MOST_STRANGERS = 1000


@dataclass(slots=True)
class _Heard:
    """`advanced` is when `left` was last another."""

    left: int
    advanced: float
    gone_at: float


@dataclass(slots=True)
class Counters:
    announces: int = 0
    completed: int = 0
    refused: int = 0
    strangers: int = 0


class _Swarm:
    def __init__(self, infohash: bytes, seeders: Sequence[Placed]) -> None:
        self.graph = Neighbours(infohash)
        self.strangers = Neighbours(infohash)
        self.tier = Tier(seeders)
        # Who was heard last comes last.
        self.heard: OrderedDict[Endpoint, _Heard] = OrderedDict()

    @property
    def interval(self) -> int:
        return max(INTERVAL_SECONDS, len(self.heard) // MOST_ANNOUNCES_A_SECOND)

    def interval_of(self, me: Endpoint) -> int:
        soon = me in self.graph and self.graph.lacks_neighbours(me)
        return self.interval // SOONER if soon else self.interval

    @property
    def complete(self) -> int:
        seeders = (self.heard.get(endpoint) for endpoint in self.tier.endpoints)
        finished = self.graph.finished + self.strangers.finished
        return finished + sum(heard is not None and not heard.left for heard in seeders)

    def hear(self, me: Endpoint, left: int, now: float) -> bool:
        """Notes the peer; whether it has been standing still."""
        before = self.heard.pop(me, None)
        advanced = now if before is None or left != before.left else before.advanced
        gone_at = now + max(GONE_SECONDS, _MISSED * self.interval)
        self.heard[me] = _Heard(left, advanced, gone_at)
        return left > 0 and now - advanced >= STALLED_SECONDS

    def forget(self, peer: Endpoint) -> None:
        self.heard.pop(peer, None)
        self.graph.leave(peer)
        self.strangers.leave(peer)
        self.tier.forget(peer)
        if peer in self.tier:
            self.tier.goes(peer)

    def forget_silent(self, now: float) -> None:
        while self.heard:
            peer, heard = next(iter(self.heard.items()))
            if heard.gone_at > now:
                return
            self.forget(peer)

    def told_stranger(self, me: Endpoint, left: int, now: float) -> tuple[Endpoint, ...]:
        if me not in self.strangers and len(self.strangers) >= MOST_STRANGERS:
            return (self.tier.first,)
        self.hear(me, left, now)
        known = self.strangers.meet(me, left=left)
        return (self.tier.first, *known) if left else known

    def told(self, me: Endpoint, rack: str, left: int, *, stalled: bool) -> tuple[Endpoint, ...]:
        self.strangers.leave(me)
        known = self.graph.meet(me, left=left, rack=rack, stalled=stalled)
        if left == 0:
            self.tier.forget(me)
            return known
        gateway = self.graph.is_gateway(me)
        seeders = self.tier.seeders_of(me, rack, gateway=gateway, stalled=stalled)
        return (*seeders, *known)


class Tracker:
    """`seeder` is the server's own, in `rack`; `others` are further ones. `clock` is monotonic
    seconds. `rack_of` says which rack an address is in, None when it is a stranger's.
    """

    def __init__(
        self,
        seeder: Endpoint,
        clock: Callable[[], float],
        *,
        rack: str = "",
        others: Sequence[Placed] = (),
        rack_of: Callable[[str], str | None] = lambda address: "",
    ) -> None:
        self._seeders = (Placed(seeder, rack), *others)
        self._clock = clock
        self._rack_of = rack_of
        self._swarms: dict[bytes, _Swarm] = {}
        self.counters = Counters()

    def track(self, infohashes: Iterable[str]) -> None:
        """Answer for these (hex of the full v2 hash) and forget all others."""
        wanted = {bytes.fromhex(infohash)[:HASH_BYTES] for infohash in infohashes}
        self._swarms = {key: self._swarms.get(key) or _Swarm(key, self._seeders) for key in wanted}

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
        return sum(len(swarm.heard) for swarm in self._swarms.values())

    def further_seeders(self, infohash: str) -> int:
        """How many seeders beside the server's own have this image (hex of its full hash)."""
        swarm = self._swarms.get(bytes.fromhex(infohash)[:HASH_BYTES])
        return swarm.tier.further if swarm else 0

    def _answer(self, announce: Announce, swarm: _Swarm, me: Endpoint) -> dict[bytes, Bencoded]:
        self.counters.completed += announce.event == "completed"
        told = self._told(announce, swarm, me, self._clock())
        complete, interval = swarm.complete, swarm.interval_of(me)
        return {
            b"complete": complete,
            b"incomplete": len(swarm.heard) - complete,
            b"interval": interval,
            # Who stands still may ask sooner.
            b"min interval": min(interval, INTERVAL_SECONDS),
            b"peers": compact(told[: min(announce.wanted, _MOST_WANTED)]),
        }

    def _told(
        self, announce: Announce, swarm: _Swarm, me: Endpoint, now: float
    ) -> tuple[Endpoint, ...]:
        swarm.forget_silent(now)
        if announce.event == "stopped":
            swarm.forget(me)
            return ()
        if me in swarm.tier:
            swarm.hear(me, announce.left, now)
            if announce.left == 0:
                swarm.tier.comes(me)
            return swarm.tier.nodes(me)
        rack = self._rack_of(me[0])
        if rack is None:
            self.counters.strangers += 1
            return swarm.told_stranger(me, announce.left, now)
        stalled = swarm.hear(me, announce.left, now)
        return swarm.told(me, rack, announce.left, stalled=stalled)
