# SPDX-License-Identifier: GPL-2.0-or-later
"""The seeder: a process of its own, so that nothing the server does can slow the swarm down.

`python -m swarmstrap_server.swarm.seeder ADDRESS PORT DEAL_PORT BYTES_PER_SECOND` reads `Wanted`
lines from stdin, writes `Report` lines to stdout, and ends when stdin does. While it deals a
torrent's pieces, and shortly afterwards, it is no peer of that torrent; with DEAL_PORT 0 it never
deals.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import libtorrent as lt
import msgspec
from aiohttp import web

from swarmstrap import tuning
from swarmstrap_server.swarm.dealer import Dealer, Pieces
from swarmstrap_server.swarm.tier import PEERS_A_SEEDER

REPORT_SECONDS = 1.0
_ORDER_BYTES = 16 << 20
_STOP_SECONDS = 1.0
# When a deal has ended, the nodes have the rest from each other: for such a share of its time, so
# many seconds at most, a seeder would only send what is there already.
_TRADE_SHARE, _TRADE_SECONDS = 0.1, 5.0
# A rack that powers on connects within a second.
_BACKLOG = 512


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A published image: `infohash` is the v2 hash as hex, `directory` holds its files."""

    infohash: str
    torrent: str
    directory: str


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is to be seeded from now on; what is missing here is dropped."""

    offers: tuple[Offer, ...]
    trackers: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`uploaded` is payload bytes by infohash since this process began, dealt ones among them;
    `rate` is bytes/s over the last report's time.
    """

    seeding: int = 0
    uploaded: dict[str, int] = {}
    rate: int = 0
    peers: int = 0
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seeded:
    """`began` is when its deal did, `resuming` what ends the nodes' time without the seeder."""

    handle: lt.torrent_handle
    pieces: Pieces
    began: float = 0.0
    resuming: asyncio.TimerHandle | None = None


class Seeder:
    def __init__(self, address: str, port: int, rate: int) -> None:
        parameters = lt.session_params()
        parameters.settings = {
            **tuning.seeder(address, port, rate),
            "alert_mask": lt.alert.category_t.error_notification,
        }
        self._session = lt.session(parameters)
        self._session.set_peer_class_filter(_everybody())
        self._torrents: dict[str, _Seeded] = {}
        self._sent = 0
        self.dealer = Dealer(rate, self._turn)

    def want(self, wanted: Wanted) -> None:
        offers = {offer.infohash: offer for offer in wanted.offers}
        for infohash in self._torrents.keys() - offers.keys():
            torrent = self._torrents.pop(infohash)
            if torrent.resuming is not None:
                torrent.resuming.cancel()
            self._session.remove_torrent(torrent.handle)
        for infohash in offers.keys() - self._torrents.keys():
            self._torrents[infohash] = self._add(offers[infohash], wanted.trackers)
        self.dealer.offer({name: torrent.pieces for name, torrent in self._torrents.items()})

    def _add(self, offer: Offer, trackers: tuple[str, ...]) -> _Seeded:
        parameters = lt.load_torrent_file(offer.torrent)
        parameters.save_path = offer.directory
        if parameters.ti is None:
            raise ValueError(f"{offer.torrent} is not a torrent")
        # The torrent names a folder NAME-VERSION; on this disk the files lie in `directory`.
        layout = parameters.ti.layout()
        names = {
            index: Path(layout.file_path(index)).name
            for index in range(layout.num_files())
            if not layout.file_flags(index) & layout.flag_pad_file
        }
        pieces = Pieces(
            files=tuple(
                (Path(offer.directory, name), layout.file_size(index))
                for index, name in names.items()
            ),
            length=parameters.ti.piece_length(),
        )
        parameters.renamed_files = names
        parameters.trackers = list(trackers)
        parameters.url_seeds = []
        # Seed mode trusts the files, which `image verify` checks; peers check every piece anyway.
        parameters.flags = lt.torrent_flags.seed_mode | lt.torrent_flags.update_subscribe
        return _Seeded(self._session.add_torrent(parameters), pieces)

    def _turn(self, infohash: str, dealing: bool, nodes: tuple[tuple[str, int], ...]) -> None:
        torrent = self._torrents.get(infohash)
        if torrent is None:
            return
        loop = asyncio.get_running_loop()
        if torrent.resuming is not None:
            torrent.resuming.cancel()
        if dealing:
            torrent.began = loop.time()
            torrent.handle.pause()
            return
        alone = min(_TRADE_SECONDS, _TRADE_SHARE * (loop.time() - torrent.began))
        torrent.resuming = loop.call_later(alone, _resume, torrent.handle, nodes)

    def report(self) -> Report:
        status = {infohash: torrent.handle.status() for infohash, torrent in self._torrents.items()}
        uploaded = {infohash: s.total_payload_upload for infohash, s in status.items()}
        for infohash, dealt in self.dealer.sent.items():
            uploaded[infohash] = uploaded.get(infohash, 0) + dealt
        before, self._sent = self._sent, sum(uploaded.values())
        return Report(
            seeding=len(status),
            uploaded=uploaded,
            rate=max(0, int((self._sent - before) / REPORT_SECONDS)),
            peers=sum(s.num_peers for s in status.values()),
            problems=tuple(self._problems()),
        )

    def _problems(self) -> list[str]:
        serious = (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)
        return [a.message() for a in self._session.pop_alerts() if isinstance(a, serious)]


def _resume(handle: lt.torrent_handle, nodes: tuple[tuple[str, int], ...]) -> None:
    handle.resume()
    for node in nodes[:PEERS_A_SEEDER]:
        handle.connect_peer(node)


def _everybody() -> lt.ip_filter:
    """All peers in the class that the rate limit is for; by default private addresses are not,
    and with an empty filter nobody is.
    """
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    return everybody


async def _orders() -> asyncio.StreamReader:
    """stdin, a line of which names every image of the site."""
    reader = asyncio.StreamReader(limit=_ORDER_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _report(seeder: Seeder) -> None:
    while True:
        print(msgspec.json.encode(seeder.report()).decode(), flush=True)
        await asyncio.sleep(REPORT_SECONDS)


async def run(address: str, port: int, deal_port: int, rate: int) -> None:
    seeder = Seeder(address, port, rate)
    orders = await _orders()
    # Else a stream whose node has gone would be dealt to until its buffer is full.
    runner = web.AppRunner(seeder.dealer.app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    if deal_port:
        await web.TCPSite(runner, address, deal_port, backlog=_BACKLOG).start()
    reporting = asyncio.create_task(_report(seeder))
    while line := await orders.readline():
        seeder.want(msgspec.json.decode(line, type=Wanted))
    reporting.cancel()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runner.cleanup(), _STOP_SECONDS)


if __name__ == "__main__":
    host, *numbers = sys.argv[1:]
    asyncio.run(run(host, *map(int, numbers)))
