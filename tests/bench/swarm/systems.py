# SPDX-License-Identifier: GPL-2.0-or-later
"""The systems side by side: what runs on the server, what on a node, and when a node has it all."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.links import PORT, Machine, Network
from tests.bench.swarm.payload import TRACKER_PORT, Payload, tracker

from swarmstrap.manifest import PAYLOAD_FILE, TORRENT_FILE
from swarmstrap_server.images.torrents import torrent_name

_PYTHON = (sys.executable, "-m")
_PLAIN = (*_PYTHON, "tests.bench.swarm.plain")
# A command that waits for the start as our own programs do.
_WAITING = ("sh", "-c", 'echo ready; read -r _; exec "$@"', "sh")
_RELAY_PORT, _RSYNC_PORT, _UDPCAST_PORT = 7000, 873, 9001
_SEEDER_PORT, _DEAL_PORT = 6881, 6882
_GROUP = "239.77.0.1"
# Of the link. The rest is for acknowledgements and what is sent again.
_UDPCAST_SHARE = 15 / 16
_ARIA2 = (
    "aria2c",
    "--no-conf",
    "--disable-ipv6",
    "--enable-dht=false",
    "--bt-enable-lpd=false",
    "--bt-max-peers=0",
    "--bt-tracker-interval=5",
    f"--listen-port={_SEEDER_PORT}",
    "--file-allocation=none",
    "--seed-ratio=0",
    "--summary-interval=0",
    "--show-console-readout=false",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run takes place; the first machine is the server, the next ones are the `nodes`,
    and those that are left are further seeders, which the image's own system alone has.

    `rate` is the server's, None for as much as there is.
    """

    payload: Payload
    network: Network
    nodes: int
    rate: int | None
    folder: Path

    @property
    def server(self) -> Machine:
        return self.network.machines[0]

    @property
    def seeders(self) -> list[Machine]:
        return self.network.machines[1 + self.nodes :]


@dataclass(frozen=True, slots=True)
class Service:
    """A process on the server or beside it, ready when something is bound to its ports."""

    machine: Machine
    command: tuple[str, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class System:
    """`node(stage, number, folder)` is the command of node 1, 2, ... It ends when it has all, or
    writes a line with `done` in it. `got(payload)` names a file in its folder, and what it then is
    a copy of. `expected(nodes)` is a guess at the ratio to the bound, for the time that is left.
    """

    name: str
    services: Callable[[Stage], tuple[Service, ...]]
    node: Callable[[Stage, int, Path], tuple[str, ...]]
    expected: Callable[[int], float]
    done: str = ""
    got: Callable[[Payload], tuple[str, Path]] = lambda payload: (PAYLOAD_FILE, payload.file)


def _image_folder(payload: Payload) -> str:
    manifest = payload.image.manifest
    return torrent_name(manifest.name, manifest.version)


def _serve(stage: Stage) -> tuple[Service, ...]:
    site, nodes = stage.payload.site, stage.network.machines[1 : 1 + stage.nodes]
    # As an operator who has one rack, or says nothing of racks; or who names all of them.
    racks = stage.network.racks > 1
    known = (f"{node.address}={f'r{node.rack}' if racks else ''}" for node in nodes)
    seeders = ",".join(str(seeder.address) for seeder in stage.seeders)
    command = (*_PYTHON, "tests.bench.swarm.server", str(site.root), seeders, *known)
    server = Service(stage.server, command, (TRACKER_PORT, _SEEDER_PORT, _DEAL_PORT))
    return (server, *(_further(stage, seeder) for seeder in stage.seeders))


def _further(stage: Stage, machine: Machine) -> Service:
    """One that has kept the image from before."""
    site, kept = stage.payload.site, stage.folder / machine.netns
    shutil.copytree(site.images, kept)
    words = ("seed", str(kept), "--server", f"http://{stage.server.address}:{TRACKER_PORT}")
    signers = ("--signers", str(site.allowed_signers), "--address", str(machine.address))
    command = (*_PYTHON, "swarmstrap_server.cli", *words, *signers)
    return Service(machine, command, (_SEEDER_PORT,))


def _swarmstrap(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    image, node = stage.payload.image, stage.network.machines[number]
    torrent = str(image.directory / TORRENT_FILE)
    words = (torrent, image.manifest.infohash, str(folder), str(node.address))
    return (*_PYTHON, "tests.bench.swarm.node", *words, str(stage.server.address))


def _in_image_folder(payload: Payload) -> tuple[str, Path]:
    return f"{_image_folder(payload)}/{PAYLOAD_FILE}", payload.file


def _http(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    path = f"images/{stage.payload.image.manifest.infohash}/{_image_folder(stage.payload)}"
    url = f"http://{stage.server.address}:{TRACKER_PORT}/{path}/{PAYLOAD_FILE}"
    pipe = 'curl -sSf "$0" | tar --zstd -xf - -C "$1"'
    return (*_WAITING, "bash", "-o", "pipefail", "-c", pipe, url, str(folder))


def _unpacked(payload: Payload) -> tuple[str, Path]:
    return payload.unpacked.name, payload.unpacked


def _rsync_daemon(stage: Stage) -> tuple[Service, ...]:
    configuration = stage.folder / "rsyncd.conf"
    configuration.write_text(
        f"use chroot = no\nuid = root\ngid = root\npid file = {stage.folder}/rsyncd.pid\n"
        f"[image]\npath = {stage.payload.file.parent}\n"
    )
    command = ("rsync", "--daemon", "--no-detach", f"--config={configuration}")
    return (Service(stage.server, command, (_RSYNC_PORT,)),)


def _rsync(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    source = f"rsync://{stage.server.address}/image/{PAYLOAD_FILE}"
    return (*_WAITING, "rsync", "--quiet", "--whole-file", "--inplace", source, f"{folder}/")


def _udpcast_words(program: str) -> tuple[str, ...]:
    words = ("--nokbd", "--no-progress", "--interface", PORT, "--mcast-rdv-address", _GROUP)
    return (program, *words)


def _udp_sender(stage: Stage) -> tuple[Service, ...]:
    command = _udpcast_words("udp-sender")
    # It looks for the receivers only when it says hello, by default every two seconds.
    command += ("--rexmit-hello-interval", "100")
    command += ("--full-duplex", "--min-receivers", str(stage.nodes))
    command += ("--file", str(stage.payload.file))
    if stage.rate is not None:
        command += ("--max-bitrate", f"{int(stage.rate * _UDPCAST_SHARE)}")
    return (Service(stage.server, command, (_UDPCAST_PORT,)),)


def _udp_receiver(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    words = (*_udpcast_words("udp-receiver"), "--exit-wait", "100")
    return (*_WAITING, *words, "--file", str(folder / PAYLOAD_FILE))


def _with_tracker(stage: Stage, seeder: tuple[str, ...]) -> tuple[Service, ...]:
    words = ("track", str(stage.server.address), str(TRACKER_PORT), stage.payload.classic_hash)
    tracking = Service(stage.server, (*_PLAIN, *words), (TRACKER_PORT,))
    return tracking, Service(stage.server, seeder, (_SEEDER_PORT,))


def _aria2_seeder(stage: Stage) -> tuple[Service, ...]:
    folder = str(stage.payload.file.parent)
    words = ("--bt-seed-unverified", "--dir", folder, str(stage.payload.classic))
    return _with_tracker(stage, (*_ARIA2, *words))


def _aria2(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    # Which writes the path of the file that is complete; its own notices come when it ends.
    told = "--on-bt-download-complete=/bin/echo"
    return (*_WAITING, *_ARIA2, told, "--dir", str(folder), str(stage.payload.classic))


def _defaults_seeder(stage: Stage) -> tuple[Service, ...]:
    folder = stage.payload.file.parent
    return _with_tracker(stage, _libtorrent("seed", stage, stage.server, folder))


def _defaults(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    return _libtorrent("load", stage, stage.network.machines[number], folder)


def _libtorrent(way: str, stage: Stage, machine: Machine, folder: Path) -> tuple[str, ...]:
    words = (str(stage.payload.classic), str(folder), str(machine.address))
    return (*_PLAIN, way, *words, tracker(stage.server))


def _sender(stage: Stage) -> tuple[Service, ...]:
    words = (str(stage.payload.file), str(stage.server.address), str(_RELAY_PORT))
    return (Service(stage.server, (*_PLAIN, "send", *words), (_RELAY_PORT,)),)


def _relay(stage: Stage, number: int, folder: Path) -> tuple[str, ...]:
    node, upstream = (stage.network.machines[place].address for place in (number, number - 1))
    words = (str(folder / PAYLOAD_FILE), str(node), str(_RELAY_PORT), str(upstream))
    last = ("last",) if number == stage.nodes else ()
    return (*_PLAIN, "relay", *words, str(stage.payload.size), *last)


SWARMSTRAP, HTTP, FLOOR = "swarmstrap", "http+tar", "tcp-chain"

_SYSTEMS = (
    # One plain stream at N = 1; then each node passes on what it gets, as it gets it.
    System(FLOOR, _sender, _relay, lambda nodes: 1.05, done="done"),
    System(SWARMSTRAP, _serve, _swarmstrap, lambda nodes: 1.2, "done", _in_image_folder),
    System("udpcast", _udp_sender, _udp_receiver, lambda nodes: 1.25),
    System("aria2", _aria2_seeder, _aria2, lambda nodes: 1.8, done=PAYLOAD_FILE),
    System("libtorrent-defaults", _defaults_seeder, _defaults, lambda nodes: 1.9, done="done"),
    System(HTTP, _serve, _http, lambda nodes: 1.05 * nodes, got=_unpacked),
    System("rsync", _rsync_daemon, _rsync, lambda nodes: 1.05 * nodes),
)
SYSTEMS = {system.name: system for system in _SYSTEMS}
