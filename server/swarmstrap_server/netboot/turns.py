# SPDX-License-Identifier: GPL-2.0-or-later
"""Who loads the installer next, and from whom: this server, or a node that was booted before.

A server that sends to everybody at once is done with everybody at the same time, and nobody comes
early enough to help. So a few load at a time, and the first of them pass it on. Pure: the times are
monotonic seconds, and whoever asks is known by its address.
"""

from dataclasses import dataclass

from swarmstrap.wire import Passing

# Two keep a link busy while one of them is a firmware that takes its time.
PEER_TRANSFERS = 2
# A peer that missed this many of its reports, one every two seconds, is gone.
_SILENT_SECONDS = 8.0
# From its turn to its request for the initramfs: kernels were loaded, or the node has gone.
_TURN_SECONDS = 60.0
_MOST_PEERS = 64


@dataclass(slots=True)
class _Peer:
    """`busy` counts the transfers of its last report, and whom it was named to since."""

    address: str
    port: int
    rack: str
    holds: frozenset[str]
    busy: int
    heard: float
    named: int = 0

    def has_room(self, digest: str) -> bool:
        return digest in self.holds and self.busy < PEER_TRANSFERS


class Turns:
    """Addresses whose turn it is, peers and what they do, and what this server sends itself."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._admitted: dict[str, float] = {}
        self._sending = 0

    def heard(self, node: str, address: str, passing: Passing, now: float, rack: str = "") -> None:
        before = self._peers.get(node)
        self._peers[node] = _Peer(
            address,
            passing.port,
            rack,
            frozenset(passing.holds),
            passing.transfers,
            now,
            before.named if before else 0,
        )

    def left(self, node: str) -> None:
        self._peers.pop(node, None)

    def wants(self, node: str, to_load: int, copies: int, now: float) -> bool:
        """Whether `node` is to pass the installer on while `to_load` nodes are still to come.

        It costs a copy to have it do so: it must be able to give two, and while it loads, as many
        nodes as the server sends `copies` at a time begin without it. Who does so already goes on
        until the last node has asked for its initramfs.
        """
        self._forget(now)
        if node in self._peers:
            return to_load > 0 or bool(self._admitted)
        return len(self._peers) < min((to_load - copies) // 2, _MOST_PEERS)

    def admit(self, address: str, copies: int, now: float) -> bool:
        """Whether it is the turn of `address`; if so, the place is kept for its requests.

        `copies` is how many may load from this server at a time.
        """
        self._forget(now)
        if address not in self._admitted:
            places = copies + PEER_TRANSFERS * sum(bool(p.holds) for p in self._peers.values())
            taken = len(self._admitted) + self._sending
            if taken + sum(peer.busy for peer in self._peers.values()) >= places:
                return False
        self._admitted[address] = now
        return True

    def source(self, digest: str, now: float, rack: str = "") -> str | None:
        """The URL at a peer with room, or None: send it here. One of the `rack` comes first, then
        the one that has least to do.
        """
        self._forget(now)
        free = [peer for peer in self._peers.values() if peer.has_room(digest)]
        if not free:
            return None
        peer = min(free, key=lambda peer: (peer.rack != rack, peer.busy, peer.named))
        peer.busy += 1
        peer.named += 1
        return f"http://{peer.address}:{peer.port}/{digest}"

    def served(self, address: str) -> None:
        """It keeps no place any more."""
        self._admitted.pop(address, None)

    def begin(self) -> None:
        self._sending += 1

    def end(self) -> None:
        self._sending -= 1

    def _forget(self, now: float) -> None:
        for node in [n for n, p in self._peers.items() if now - p.heard > _SILENT_SECONDS]:
            del self._peers[node]
        for address in [a for a, at in self._admitted.items() if now - at > _TURN_SECONDS]:
            del self._admitted[address]
