# SPDX-License-Identifier: GPL-2.0-or-later
"""What the swarm is measured beside, and nobody ships: libtorrent as it comes, a tracker, and TCP.

    python -m tests.bench.swarm.plain track ADDRESS PORT INFOHASH
    python -m tests.bench.swarm.plain seed TORRENT FOLDER ADDRESS TRACKER
    python -m tests.bench.swarm.plain load TORRENT FOLDER ADDRESS TRACKER [leave]
    python -m tests.bench.swarm.plain send FILE ADDRESS PORT
    python -m tests.bench.swarm.plain relay FILE ADDRESS PORT UPSTREAM BYTES [last]

`load` and `relay` say `ready`, begin at a line on stdin, and say `done`; all run until ended.
"""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import libtorrent as lt
from aiohttp import web

from swarmstrap_server.swarm.tracker import Tracker

SEEDER_PORT = 6881
_CHUNK = 1 << 16
_ACCEPT_SECONDS = 30.0


def track(address: str, port: str, infohash: str) -> None:
    tracker = Tracker((address, SEEDER_PORT), time.monotonic)
    tracker.track([infohash])

    async def announce(request: web.Request) -> web.Response:
        return web.Response(
            body=tracker.announce(request.rel_url.raw_query_string, request.remote or "")
        )

    app = web.Application()
    app.router.add_get("/announce", announce)
    web.run_app(app, host=address, port=int(port), print=None, access_log=None)


def seed(torrent: str, folder: str, address: str, tracker: str) -> None:
    session, parameters = _plain(torrent, folder, address, tracker)
    parameters.flags = lt.torrent_flags.seed_mode
    session.add_torrent(parameters)
    sys.stdin.read()


def load(torrent: str, folder: str, address: str, tracker: str, leave: str = "") -> None:
    session, parameters = _plain(torrent, folder, address, tracker)
    _begin()
    session.add_torrent(parameters)
    while True:
        session.wait_for_alert(1000)
        if any(isinstance(alert, lt.torrent_finished_alert) for alert in session.pop_alerts()):
            break
    print("done", flush=True)
    if not leave:
        sys.stdin.readline()


def _plain(
    torrent: str, folder: str, address: str, tracker: str
) -> tuple[lt.session, lt.add_torrent_params]:
    """A session with nothing set but its address."""
    settings = lt.session_params()
    settings.settings = {
        "listen_interfaces": f"{address}:{SEEDER_PORT}",
        "alert_mask": lt.alert_category.status | lt.alert_category.error,
    }
    parameters = lt.load_torrent_file(torrent)
    parameters.save_path = folder
    parameters.trackers = [tracker]
    parameters.flags = lt.torrent_flags.default_flags & ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    return lt.session(settings), parameters


def send(file: str, address: str, port: str) -> None:
    """The file to whoever connects, one after another."""
    with socket.create_server((address, int(port))) as listening:
        while True:
            taker, _ = listening.accept()
            with taker, Path(file).open("rb") as source:
                taker.sendfile(source)


def relay(file: str, address: str, port: str, upstream: str, size: str, last: str = "") -> None:
    """`size` bytes from upstream into the file, and at once on to the next, unless it is last."""
    missing = int(size)
    with socket.create_server((address, int(port))) as listening, Path(file).open("wb") as to:
        _begin()
        source = socket.create_connection((upstream, int(port)), _ACCEPT_SECONDS)
        listening.settimeout(_ACCEPT_SECONDS)
        follower = None if last else listening.accept()[0]
        while missing:
            data = source.recv(_CHUNK)
            if not data:
                raise EOFError(f"{missing} bytes did not come from {upstream}")
            to.write(data)
            missing -= len(data)
            if follower:
                follower.sendall(data)
    print("done", flush=True)
    sys.stdin.readline()


def _begin() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


_WAYS: dict[str, Callable[..., None]] = {
    "track": track,
    "seed": seed,
    "load": load,
    "send": send,
    "relay": relay,
}

if __name__ == "__main__":
    _WAYS[sys.argv[1]](*sys.argv[2:])
