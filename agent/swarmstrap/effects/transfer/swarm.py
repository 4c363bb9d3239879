# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm: the only user of libtorrent in the agent. Any piece, in any order, from anybody."""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import libtorrent as lt

from swarmstrap import tuning
from swarmstrap.effects.transfer.dealt import Dealt
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.ledger import Ledger, Received, piece_sizes
from swarmstrap.units import MiB
from swarmstrap.wire import Seeding

log = logging.getLogger(__name__)

PORT = 6881
_FORGIVE_SECONDS = 1.0
# What is heard of blocks in between is read at once: to wake up for each of them costs more.
_HEAR_SECONDS = 0.05
# Bytes dealt whose hash is not checked yet: memory, and a disk that cannot follow. What comes
# before alerts are read again must fit: with 16 pieces of 64 KiB no link gave more than 20 MB/s.
_MOST_UNCHECKED = 16 * MiB
# A node that lacks more of the image when all of it is out has something to catch up on.
_BACKLOG = 0.1
_FIRST, _NORMAL, _NEVER = 7, 4, 0  # libtorrent's highest and its default priority, and no piece


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without a single new block: until the trackers are asked again and the web seeds
    are used, and until the swarm is given up."""

    help: float = 10.0
    give_up: float = 300.0


@dataclass(frozen=True, slots=True)
class Torrent:
    """A torrent whose infohash was compared; `files` are (name, bytes), in order of pieces."""

    name: str
    piece_length: int
    files: tuple[tuple[str, int], ...]
    data: bytes

    @property
    def pieces(self) -> int:
        return len(piece_sizes([size for _, size in self.files], self.piece_length))


def load(data: bytes, infohash: str) -> Torrent:
    """Raises Untrusted unless `data` is a torrent whose v2 infohash is `infohash` (hex)."""
    try:
        info = lt.load_torrent_buffer(data).ti
    except RuntimeError as error:
        raise Untrusted(f"not a torrent: {error}", hint="publish the image again") from error
    found = info.info_hashes().v2.to_bytes().hex() if info is not None else ""
    if info is None or found != infohash:
        raise Untrusted(
            f"the torrent is {found[:16]}..., the signed manifest names {infohash[:16]}...",
            hint="publish the image again, or look who changed it",
        )
    files = info.layout()
    return Torrent(
        name=info.name(),
        piece_length=info.piece_length(),
        files=tuple(
            (files.file_path(number), files.file_size(number))
            for number in range(files.num_files())
            if not files.file_flags(number) & lt.file_flags_t.flag_pad_file
        ),
        data=data,
    )


class Swarm:
    """One image's swarm, joined. `address` is this node's own; `seeders` are the addresses of the
    site's seeders; `tell` hears about refused pieces and banned peers in one line. From `deal` come
    pieces of the server's choice. Everything is wanted, or only the files before the last until
    `want` says more.
    """

    def __init__(
        self,
        torrent: Torrent,
        directory: Path,
        *,
        trackers: tuple[str, ...] = (),
        web_seeds: tuple[str, ...] = (),
        seeders: frozenset[str] = frozenset(),
        deal: str = "",
        tell: Callable[[str], None] = log.warning,
        address: str,
        port: int = PORT,
        patience: Patience = Patience(),
        everything: bool = True,
    ) -> None:
        self._torrent = torrent
        self._web_seeds = web_seeds
        self._tell = tell
        self._patience = patience
        self._directory = directory
        self._trackers = trackers
        self.address = address
        sizes = [size for _, size in torrent.files]
        self._sizes = piece_sizes(sizes, torrent.piece_length)
        self._ledger = Ledger(self._sizes, seeders)
        self._first = frozenset(range(len(piece_sizes(sizes[:-1], torrent.piece_length))))
        self._wanted = set(range(torrent.pieces)) if everything else set(self._first)
        self._given = 0
        self._have = [False] * torrent.pieces
        self._arrived: deque[int] = deque()
        self._changed = asyncio.Event()
        self._error: StepFailed | None = None
        self._banned: set[str] = set()
        self._trouble = ""
        self._next_help = 0.0
        self._helped = False
        self._dealt = False
        self._loop = asyncio.get_running_loop()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._wake, self._hear)
        self._session = [_open_session(address, port)]
        self._session[0].set_alert_fd(self._waker)
        self._handle = self._session[0].add_torrent(self._parameters())
        self._last_progress = self._loop.time()
        most = max(2, _MOST_UNCHECKED // torrent.piece_length)
        self._deal = Dealt(
            deal,
            address,
            port,
            most=most,
            sets=self._sets,
            take=self._take,
            all_out=self._all_out,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    @property
    def received(self) -> Received:
        return self._ledger.received

    @property
    def wanted(self) -> int:
        """The bytes of all pieces that are wanted so far."""
        return sum(self._sizes[piece] for piece in self._wanted)

    def want(self, pieces: Iterable[int]) -> None:
        """These as well."""
        more = set(pieces) - self._wanted
        self._wanted |= more
        if more:
            self._last_progress = self._loop.time()
            self._handle.prioritize_pieces(self._priorities())
            self._deal.join()

    async def pieces(self) -> AsyncIterator[int]:
        """Every wanted piece once, as soon as its hash holds; the index's first where peers have
        them.

        Raises StepFailed when the disk refuses, or when nothing has come for too long.
        """
        while self._given < len(self._wanted):
            while not self._arrived:
                await self._progress()
            self._given += 1
            yield self._arrived.popleft()

    def seeding(self) -> Seeding:
        status = self._handle.status(0)
        return Seeding(uploaded=status.total_payload_upload, peers=status.num_peers)

    def leave(self) -> None:
        """Tell the trackers and go. libtorrent waits for their answers, `stop_tracker_timeout`."""
        if not self._session:
            return
        self._deal.leave()
        self._loop.remove_reader(self._wake)
        self._session.clear()
        os.close(self._wake)
        os.close(self._waker)

    async def _progress(self) -> None:
        """Wait for news, a second at most; a swarm that stands still gets help, then an end."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._changed.wait()
        if self._error is not None:
            raise self._error
        still = self._loop.time() - self._last_progress
        if still > self._patience.give_up:
            raise StepFailed(
                f"nothing came from the swarm for {still:.0f} s "
                f"({self._handle.status(0).num_peers} peers; {self._trouble or 'no error'})",
                hint="check the seeder and that nodes reach each other on TCP",
            )
        if still > _FORGIVE_SECONDS and self._banned:
            self._forgive()
        if self._loop.time() > self._next_help:
            if still > self._patience.help:
                self._next_help = self._loop.time() + self._patience.help
                self._help(still)
            elif self._helped and (self._dealt or self._fed_by_a_seed()):
                self._helped = False
                self._help_no_more()

    def _forgive(self) -> None:
        """libtorrent bans everybody who had a part in bad pieces, at times an honest seeder too,
        and never forgives. When nobody is left, join anew with what holds and without the liars.
        """
        liars = self._ledger.liars
        log.warning("joining anew; banned: %s; liars: %s", self._banned, liars)
        self._banned.clear()
        blocked = lt.ip_filter()
        for address in liars:
            blocked.add_rule(address, address, 1)
        self._session[0].set_ip_filter(blocked)
        self._session[0].remove_torrent(self._handle)
        self._handle = self._session[0].add_torrent(self._parameters())

    def _sets(self) -> bytes:
        has = sum(1 << piece for piece, whole in enumerate(self._have) if whole)
        lacks = sum(1 << piece for piece in self._wanted if not self._have[piece])
        size = -(-self._torrent.pieces // 8)
        return has.to_bytes(size, "little") + lacks.to_bytes(size, "little")

    def _take(self, piece: int, data: bytes) -> bool:
        if not 0 <= piece < len(self._sizes) or len(data) != self._sizes[piece]:
            raise ValueError(f"{len(data)} bytes as piece {piece}")
        if self._have[piece]:
            return False
        self._last_progress = self._loop.time()
        self._dealt = True
        self._ledger.dealt(piece)
        self._handle.add_piece(piece, data, 0)
        return True

    def _all_out(self) -> None:
        lacking = sum(not self._have[piece] for piece in self._wanted)
        if lacking > _BACKLOG * len(self._sizes):
            self._session[0].apply_settings(tuning.backlog())

    def _help(self, still: float) -> None:
        """Whoever is there. Over HTTP the server sends each node a copy: only while it must."""
        if not self._helped:
            how = "the tracker and the server over HTTP" if self._web_seeds else "the tracker"
            self._tell(f"nothing came from the swarm for {still:.0f} s: asking {how}")
        self._helped, self._dealt = True, False
        for url in self._web_seeds:
            self._handle.add_url_seed(url)
        self._handle.force_reannounce()

    def _fed_by_a_seed(self) -> bool:
        return any(
            peer.flags & lt.peer_info.seed
            and peer.payload_down_speed
            and peer.connection_type == lt.peer_info.standard_bittorrent
            for peer in self._handle.get_peer_info()
        )

    def _help_no_more(self) -> None:
        log.info("the swarm goes on: no more HTTP")
        for url in self._web_seeds:
            self._handle.remove_url_seed(url)

    def _parameters(self) -> lt.add_torrent_params:
        parameters = lt.load_torrent_buffer(self._torrent.data)
        parameters.save_path = os.fspath(self._directory)
        parameters.trackers = list(self._trackers)
        # No hash covers what a torrent says of web seeds. The job's come when all stands still.
        parameters.url_seeds = []
        parameters.piece_priorities = self._priorities()
        parameters.flags = lt.torrent_flags.update_subscribe
        if any(self._have):
            parameters.have_pieces = self._have
            parameters.flags |= lt.torrent_flags.no_verify_files
        return parameters

    def _priorities(self) -> list[int]:
        return [
            _NEVER if piece not in self._wanted else _FIRST if piece in self._first else _NORMAL
            for piece in range(self._torrent.pieces)
        ]

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 4096):
                pass
        self._loop.call_later(_HEAR_SECONDS, self._read_alerts)

    def _read_alerts(self) -> None:
        if not self._session:
            return
        for alert in self._session[0].pop_alerts():
            self._note(alert)
        self._changed.set()

    def _note(self, alert: lt.alert) -> None:
        match alert:
            case lt.block_finished_alert():
                self._last_progress = self._loop.time()
                self._ledger.block(alert.piece_index, alert.block_index, alert.endpoint[0])
            case lt.piece_finished_alert():
                self._deal.checked(alert.piece_index)
                if not self._have[alert.piece_index]:
                    self._ledger.verified(alert.piece_index)
                    self._have[alert.piece_index] = True
                    self._arrived.append(alert.piece_index)
            case lt.torrent_checked_alert():
                self._deal.join()  # what is staged already is known now
            case lt.hash_failed_alert():
                self._ledger.refused(alert.piece_index)
                self._deal.checked(alert.piece_index)
                self._tell(f"piece {alert.piece_index} refused: its hash does not hold")
            case lt.peer_ban_alert():
                if alert.endpoint[0] not in self._banned:
                    self._banned.add(alert.endpoint[0])
                    self._tell(f"peer {alert.endpoint[0]} banned: it had a part in bad pieces")
            case lt.file_error_alert() | lt.torrent_error_alert():
                self._error = StepFailed(
                    f"the swarm stopped: {alert.message()}",
                    hint="look whether the staging area is full",
                )
            case lt.listen_failed_alert() | lt.tracker_error_alert() | lt.url_seed_alert():
                self._trouble = alert.message()
                log.warning("swarm: %s", self._trouble)
            case _:
                pass


def _open_session(address: str, port: int) -> lt.session:
    category = lt.alert_category
    parameters = lt.session_params()
    parameters.settings = {
        **tuning.node(address, port),
        "alert_mask": category.error
        | category.status
        | category.tracker
        | category.peer
        | category.piece_progress
        | category.block_progress,
    }
    # It writes before it says that a piece is finished and keeps no copy; a tmpfs never waits.
    parameters.disk_io_constructor = "posix_disk_io_constructor"
    return lt.session(parameters)
