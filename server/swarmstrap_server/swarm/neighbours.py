# SPDX-License-Identifier: GPL-2.0-or-later
"""Who knows whom in a swarm: a sparse graph, near peers first. Decides, and touches nothing.

The peers of a rack stand on several circles, on each in the order of another hash. Who needs
neighbours looks to the left and to the right on one circle after the other for peers that have
room. A link, once made, stays for as long as both are there, as the connection does for which it
stands: nobody is ever told of new peers but for those that are gone. Circles, because few links of
each make a graph of small diameter, and because a tracker that lost its memory finds about half of
the same links again.

A few peers of each rack, its gateways, also know gateways of other racks. A gateway takes one copy
at most over the rack's uplink, so their number bounds what the uplink carries. In a small rack it
knows only half of the others, who would share what it can send with racks that have no other way.
Simulated with uplinks of one or two nodes' links, 1.0 to 1.4 copies came into each rack of 4 to 40
nodes, and without racks 26 into one of 40.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from swarmstrap_server.swarm.circles import Circle, Endpoint, in_turn

CIRCLES = 5
# In a rack of so many others and fewer everybody knows everybody.
FEW = 11
# A newcomer's own links; those who come after it make as many to it, so that it has ten.
JOINING = 5
WANTED = 10
MOST = 16
# Of a newcomer's links these go to peers that have everything, where there are some.
TO_FINISHED = 2
# Links of a gateway to other racks, at most one to each; `MOST` counts them too.
FAR_JOINING = 2
FAR_WANTED = 3
FAR_MOST = 5
# One gateway, and another for every so many peers of its rack, but two at least and no more than
# GATEWAYS. One alone was the last to finish: two racks of four, an uplink of one link, 1.67 of the
# bound with one gateway and 1.45 with two, 1.17 and 1.32 copies (headers included) into the rack.
PEERS_A_GATEWAY = 8
GATEWAYS = 4
GATEWAY_FEWEST = 2
# So many are looked at for each search: what limits its time where most have no room.
_LOOKS = 60


@dataclass(slots=True)
class _Peer:
    endpoint: Endpoint
    rack: str
    left: int = 1
    gateway: bool = False
    near: set[Endpoint] = field(default_factory=set)
    far: set[Endpoint] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        return self.left == 0

    @property
    def full(self) -> bool:
        return len(self.near) + len(self.far) >= MOST


class _Rack:
    def __init__(self, seed: bytes) -> None:
        self.circles = tuple(Circle(seed + bytes([number])) for number in range(CIRCLES))
        self.finished = Circle(seed + b"finished")
        self.gateways = 0

    @property
    def peers(self) -> int:
        return len(self.circles[0])

    def gateways_wanted(self, *, stalled: bool) -> int:
        """Twice as many once one stands still; but two are enough in a small rack, whose others
        would find no gateway with room for them.
        """
        wanted = min(GATEWAYS, 1 + self.peers // PEERS_A_GATEWAY)
        return max(2, 2 * wanted if stalled else wanted)

    def most_near(self, peer: _Peer) -> int:
        """How many of its own rack a peer may know."""
        half = max(GATEWAY_FEWEST, self.peers // 2)
        return min(MOST - FAR_MOST, half) if peer.gateway else MOST


class Neighbours:
    """The graph of one swarm; `seed` is its infohash, at most 32 bytes of it."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:32]
        self._peers: dict[Endpoint, _Peer] = {}
        self._racks: dict[str, _Rack] = {}
        self._far = tuple(Circle(self._seed + b"far%d" % number) for number in range(CIRCLES))

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._peers

    @property
    def finished(self) -> int:
        return sum(len(rack.finished) for rack in self._racks.values())

    def lacks_neighbours(self, endpoint: Endpoint) -> bool:
        """Whether it may be told of more when it comes again, as those may who came last."""
        peer = self._peers[endpoint]
        rack = self._racks[peer.rack]
        most = min(WANTED, rack.most_near(peer), rack.peers - 1)
        return not peer.finished and len(peer.near) < most

    def is_gateway(self, endpoint: Endpoint) -> bool:
        peer = self._peers.get(endpoint)
        return peer is not None and peer.gateway

    def meet(
        self, endpoint: Endpoint, *, left: int, rack: str = "", stalled: bool = False
    ) -> tuple[Endpoint, ...]:
        """Whom this peer, which still needs `left` bytes, is to know: at most MOST, and all of
        those that it was told of before and that are still there. A `stalled` peer, one that gets
        nothing any more, may look into other racks as well.
        """
        peer = self._peers.get(endpoint)
        if peer is not None and peer.rack != rack:
            self.leave(endpoint)
            peer = None
        newcomer = peer is None
        if peer is None:
            peer = self._join(endpoint, rack)
        self._advance(peer, left)
        self._appoint(peer, newcomer, stalled)
        self._link_near(peer, newcomer)
        if peer.gateway:
            self._link_far(peer, FAR_JOINING if newcomer else FAR_WANTED)
        return (*peer.near, *peer.far)

    def leave(self, endpoint: Endpoint) -> None:
        """This peer is gone; its neighbours find others when they come next."""
        peer = self._peers.pop(endpoint, None)
        if peer is None:
            return
        for other in peer.near:
            self._peers[other].near.discard(endpoint)
        for other in peer.far:
            self._peers[other].far.discard(endpoint)
        rack = self._racks[peer.rack]
        for circle in (*rack.circles, rack.finished, *self._far):
            circle.remove(endpoint)
        rack.gateways -= peer.gateway
        if not rack.peers:
            del self._racks[peer.rack]

    def _join(self, endpoint: Endpoint, name: str) -> _Peer:
        rack = self._racks.get(name)
        if rack is None:
            rack = self._racks[name] = _Rack(self._seed)
        for circle in rack.circles:
            circle.add(endpoint)
        peer = self._peers[endpoint] = _Peer(endpoint, name)
        return peer

    def _advance(self, peer: _Peer, left: int) -> None:
        """Those who have everything have nothing to say to each other: room for newcomers."""
        finished = self._racks[peer.rack].finished
        if left and peer.finished:  # it was reset, and begins anew
            finished.remove(peer.endpoint)
        if not left and not peer.finished:
            finished.add(peer.endpoint)
            for other in [self._peers[known] for known in chain(peer.near, peer.far)]:
                if other.finished:
                    peer.near.discard(other.endpoint)
                    peer.far.discard(other.endpoint)
                    other.near.discard(peer.endpoint)
                    other.far.discard(peer.endpoint)
        peer.left = left

    def _link_near(self, peer: _Peer, newcomer: bool) -> None:
        rack = self._racks[peer.rack]
        wanted = MOST if rack.peers <= FEW + 1 else JOINING if newcomer else WANTED
        if newcomer:
            seeding = self._fitting(peer, rack.finished.around(peer.endpoint))
            for other in islice(seeding, TO_FINISHED):
                _link(peer, other)
        missing = min(wanted, rack.most_near(peer)) - len(peer.near)
        if missing > 0:
            looking = self._fitting(peer, in_turn(rack.circles, peer.endpoint))
            found = {other.endpoint: other for other in islice(looking, 2 * missing)}
            for other in sorted(found.values(), key=lambda other: _worth(peer, other))[:missing]:
                _link(peer, other)

    def _fitting(self, peer: _Peer, endpoints: Iterator[Endpoint]) -> Iterator[_Peer]:
        rack = self._racks[peer.rack]
        for endpoint in islice(endpoints, _LOOKS):
            other = self._peers[endpoint]
            both_finished = peer.finished and other.finished
            room = len(other.near) < rack.most_near(other)
            if room and not both_finished and endpoint not in peer.near:
                yield other

    def _appoint(self, peer: _Peer, newcomer: bool, stalled: bool) -> None:
        """Makes the peer a gateway if its rack needs one: rather a newcomer, that knows nobody yet.
        Where nobody says what racks there are, there is one.
        """
        rack = self._racks[peer.rack]
        wanted = rack.gateways_wanted(stalled=stalled)
        if peer.gateway or rack.gateways >= wanted or (not peer.rack and len(self._racks) == 1):
            return
        if newcomer or (not peer.full and (stalled or not rack.gateways)):
            peer.gateway = True
            rack.gateways += 1
            for circle in self._far:
                circle.add(peer.endpoint)

    def _link_far(self, peer: _Peer, wanted: int) -> None:
        for endpoint in islice(in_turn(self._far, peer.endpoint), _LOOKS):
            if len(peer.far) >= wanted or peer.full:
                return
            other = self._peers[endpoint]
            both_finished = peer.finished and other.finished
            if (
                len(other.far) < FAR_MOST
                and not other.full
                and not both_finished
                and other.rack not in self._linked(peer)
                and peer.rack not in self._linked(other)
            ):
                peer.far.add(endpoint)
                other.far.add(peer.endpoint)

    def _linked(self, peer: _Peer) -> set[str]:
        """The racks that this peer is of or knows somebody of."""
        return {peer.rack, *(self._peers[other].rack for other in peer.far)}


def _link(one: _Peer, other: _Peer) -> None:
    one.near.add(other.endpoint)
    other.near.add(one.endpoint)


def _worth(peer: _Peer, other: _Peer) -> tuple[bool, bool, int]:
    """Low for who passes on what a gateway brings, for who has more than this peer, and then for
    who has few neighbours: many share an uplink, and who knows only peers with many falls behind.
    """
    return peer.gateway and other.gateway, other.left >= peer.left, len(other.near)
