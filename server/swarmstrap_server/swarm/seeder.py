# SPDX-License-Identifier: GPL-2.0-or-later
"""The seeder: a process of its own, so that nothing the server does can slow the swarm down.

`python -m swarmstrap_server.swarm.seeder ADDRESS PORT [BYTES_PER_SECOND]` reads `Wanted` lines from
stdin, writes `Report` lines to stdout, and ends when stdin does.
"""

import queue
import sys
import threading
from pathlib import Path
from typing import TextIO

import libtorrent as lt
import msgspec

REPORT_SECONDS = 1.0


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
    """`uploaded` is payload bytes by infohash since this process began, `rate` is bytes/s."""

    seeding: int = 0
    uploaded: dict[str, int] = {}
    rate: int = 0
    peers: int = 0
    problems: tuple[str, ...] = ()


def settings(address: str, port: int, rate: int) -> "lt.settings_pack":
    """Every value that differs from libtorrent's default; `rate` 0 is no cap."""
    return {
        # One address, and no other port if that one is taken: nodes are told this one.
        "listen_interfaces": f"{address}:{port}",
        "listen_system_port_fallback": False,
        # A site's swarm is closed: the tracker knows everybody, nothing is looked for outside.
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        # uTP yields to other traffic and moved 7 to 13 MB/s where TCP moved 230 and more.
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        # A rack that powers on connects within a second.
        "connections_limit": 4000,
        "listen_queue_size": 512,
        # Virtual nodes behind one address are several peers.
        "allow_multiple_connections_per_ip": True,
        # Few slots, so that a piece is soon whole somewhere and spreads from there; changed often,
        # so that nobody waits long. Two slots starved a node in the measurements.
        "unchoke_slots_limit": 8,
        "unchoke_interval": 3,
        "optimistic_unchoke_interval": 6,
        # Little in flight for each peer: what is queued for one cannot be given to another.
        "send_buffer_watermark": 256 * 1024,
        "min_announce_interval": 5,
        "upload_rate_limit": rate,
        "alert_mask": lt.alert.category_t.error_notification,
        "user_agent": "swarmstrap-seeder",
    }


def _everybody() -> lt.ip_filter:
    """All peers in the class that the rate limit is for; by default private addresses are not,
    and with an empty filter nobody is.
    """
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    return everybody


class Seeder:
    def __init__(self, address: str, port: int, rate: int) -> None:
        parameters = lt.session_params()
        parameters.settings = settings(address, port, rate)
        self._session = lt.session(parameters)
        self._session.set_peer_class_filter(_everybody())
        self._torrents: dict[str, lt.torrent_handle] = {}

    def want(self, wanted: Wanted) -> None:
        offers = {offer.infohash: offer for offer in wanted.offers}
        for infohash in self._torrents.keys() - offers.keys():
            self._session.remove_torrent(self._torrents.pop(infohash))
        for infohash in offers.keys() - self._torrents.keys():
            self._torrents[infohash] = self._add(offers[infohash], wanted.trackers)

    def _add(self, offer: Offer, trackers: tuple[str, ...]) -> lt.torrent_handle:
        parameters = lt.load_torrent_file(offer.torrent)
        parameters.save_path = offer.directory
        if parameters.ti is None:
            raise ValueError(f"{offer.torrent} is not a torrent")
        # The torrent names a folder NAME-VERSION; on this disk the files lie in `directory`.
        layout = parameters.ti.layout()
        parameters.renamed_files = {
            index: Path(layout.file_path(index)).name
            for index in range(layout.num_files())
            if not layout.file_flags(index) & layout.flag_pad_file
        }
        parameters.trackers = list(trackers)
        parameters.url_seeds = []
        # Seed mode trusts the files, which `image verify` checks; peers check every piece anyway.
        parameters.flags = lt.torrent_flags.seed_mode | lt.torrent_flags.update_subscribe
        return self._session.add_torrent(parameters)

    def report(self) -> Report:
        status = {infohash: torrent.status() for infohash, torrent in self._torrents.items()}
        return Report(
            seeding=len(status),
            uploaded={infohash: s.total_payload_upload for infohash, s in status.items()},
            rate=sum(s.upload_payload_rate for s in status.values()),
            peers=sum(s.num_peers for s in status.values()),
            problems=tuple(self._problems()),
        )

    def _problems(self) -> list[str]:
        serious = (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)
        return [a.message() for a in self._session.pop_alerts() if isinstance(a, serious)]


def _read_lines(stream: TextIO, lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def main(arguments: list[str]) -> None:
    address, port, *rate = arguments
    seeder = Seeder(address, int(port), int(rate[0]) if rate else 0)
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(sys.stdin, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=REPORT_SECONDS)
        except queue.Empty:
            line = ""
        if line is None:
            return
        if line:
            seeder.want(msgspec.json.decode(line, type=Wanted))
        print(msgspec.json.encode(seeder.report()).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
