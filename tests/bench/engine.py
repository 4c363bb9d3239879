# SPDX-License-Identifier: GPL-2.0-or-later
"""One program that unpacks an image, as a process of its own so that its costs can be told apart.

    python -m tests.bench.engine NAME IMAGE TARGET [STAGING ADDRESS SERVER]

Says `ready`, begins at a line on stdin, and ends with its `Run` as JSON, all from that line on.
"""

import asyncio
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from swarmstrap.effects.disks import mounts
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.effects.transfer.fetch import NewTree, fetch
from swarmstrap.effects.transfer.swarm import Swarm, Torrent, load
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    TORRENT_FILE,
    Manifest,
    parse_manifest,
)
from swarmstrap.reporter import Reporter

DOWNLOADING = "swarmstrap-while-downloading"
DOWNLOADED = "swarmstrap-after-downloading"
HTTP_AND_TAR = "http-then-gnu-tar"
_TARS = {
    "gnu-tar": ("tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "-xpf"),
    "bsdtar": ("bsdtar", "--xattrs", "--acls", "-xpf"),
}
DEAL_PORT = 6882
_HTTP_SECONDS = 60.0
_SEEDER_SECONDS, _AGAIN_SECONDS = 50.0, 0.1


class Run(msgspec.Struct, frozen=True):
    """`seconds` until every file is complete, which is where tar ends, `downloaded_seconds` until
    the last byte has come; the others until the target is synced, too.

    Processor seconds are of all processes that the engine started, without kernel threads:
    `cpu_python` of the main thread, `cpu_threads` of those beside it, libtorrent's above all, the
    rest of the processes that write or unpack. `peak` is in bytes, of all of them together.
    """

    seconds: float
    synced_seconds: float
    cpu_seconds: float
    cpu_python: float
    cpu_threads: float
    downloaded_seconds: float = 0.0
    peak: int = 0


class Watch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._main, self._process, self._all = _processor_seconds()
        self.downloaded = self.complete = 0.0

    def now(self) -> float:
        return time.monotonic() - self._began

    def run(self) -> Run:
        """When everything is over, processes that were started included."""
        main, process, everything = _processor_seconds()
        python = main - self._main
        return Run(
            seconds=self.complete,
            synced_seconds=self.now(),
            cpu_seconds=everything - self._all,
            cpu_python=python,
            cpu_threads=process - self._process - python,
            downloaded_seconds=self.downloaded,
        )


@dataclass(frozen=True, slots=True)
class Network:
    """`staging` is a folder; `address` is this node's own, `server` that of `swarmstrap serve`."""

    staging: Path
    address: str
    server: str

    def wait_for_seeder(self) -> None:
        """It begins some time after its server."""
        deadline = time.monotonic() + _SEEDER_SECONDS
        while True:
            try:
                socket.create_connection((self.server, DEAL_PORT), _SEEDER_SECONDS).close()
                return
            except ConnectionRefusedError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no seeder within {_SEEDER_SECONDS:.0f} s") from error
            time.sleep(_AGAIN_SECONDS)

    def join(self, torrent: Torrent, manifest: Manifest) -> Swarm:
        return Swarm(
            torrent,
            self.staging,
            trackers=(f"http://{self.server}:8080/announce",),
            seeders=frozenset({self.server}),
            deal=f"http://{self.server}:{DEAL_PORT}/deal/{manifest.infohash}",
            address=self.address,
        )

    def download(self, torrent: Torrent, manifest: Manifest) -> Path:
        """The payload, over HTTP."""
        path = torrent.files[-1][0]
        url = f"http://{self.server}:8080/images/{manifest.infohash}/{path}"
        payload = self.staging / PAYLOAD_FILE
        with urllib.request.urlopen(url, timeout=_HTTP_SECONDS) as body, payload.open("wb") as to:
            shutil.copyfileobj(body, to, 1 << 16)
        return payload


class Timed(Writers):
    """Writers that note when all is complete, before they sync it."""

    watch: Watch

    async def complete(self) -> None:
        await super().complete()
        self.watch.complete = self.watch.now()


def engine(name: str, image: Path, target: Path, *network: str) -> Callable[[Watch], None]:
    """What does it; whatever a node does before an image comes is done now."""
    manifest = parse_manifest((image / MANIFEST_FILE).read_bytes())
    if name in _TARS:
        return lambda watch: _unpack(_TARS[name], image / PAYLOAD_FILE, target, watch)
    if name not in (DOWNLOADING, DOWNLOADED, HTTP_AND_TAR):
        writers = Timed.start(len(os.sched_getaffinity(0)))
        shuffled = "random" in name
        return lambda watch: asyncio.run(
            _write(writers, manifest, image / INDEX_FILE, target, watch, shuffled=shuffled)
        )
    staging, address, server = network
    net = Network(Path(staging), address, server)
    net.wait_for_seeder()
    torrent = load((image / TORRENT_FILE).read_bytes(), manifest.infohash)
    if name == HTTP_AND_TAR:
        return lambda watch: _download_and_unpack(net, torrent, manifest, target, watch)
    writers = Timed.start(len(os.sched_getaffinity(0)))
    way = _write_meanwhile if name == DOWNLOADING else _write_afterwards
    return lambda watch: asyncio.run(way(writers, net, torrent, manifest, target, watch))


def _unpack(tar: tuple[str, ...], payload: Path, target: Path, watch: Watch) -> None:
    subprocess.run([*tar, str(payload), "-C", str(target)], check=True)
    watch.complete = watch.now()
    mounts.sync(target)


def _download_and_unpack(
    net: Network, torrent: Torrent, manifest: Manifest, target: Path, watch: Watch
) -> None:
    payload = net.download(torrent, manifest)
    watch.downloaded = watch.now()
    _unpack(_TARS["gnu-tar"], payload, target, watch)


async def _write(
    writers: Timed,
    manifest: Manifest,
    index_file: Path,
    target: Path,
    watch: Watch,
    *,
    shuffled: bool = False,
) -> None:
    """The payload lies beside the index."""
    writers.watch = watch
    index = load_index(index_file, manifest)
    frames = list(range(len(index.frames)))
    if shuffled:
        random.Random(1).shuffle(frames)
    try:
        await writers.open(Tree(os.fsencode(target)), index_file.with_name(PAYLOAD_FILE), index)
        await writers.skeleton()
        async with asyncio.TaskGroup() as tasks:
            for frame in frames:
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()


async def _write_afterwards(
    writers: Timed, net: Network, torrent: Torrent, manifest: Manifest, target: Path, watch: Watch
) -> None:
    async with net.join(torrent, manifest) as swarm:
        async for _ in swarm.pieces():
            pass
        watch.downloaded = watch.now()
        await _write(writers, manifest, net.staging / torrent.files[0][0], target, watch)


async def _write_meanwhile(
    writers: Timed, net: Network, torrent: Torrent, manifest: Manifest, target: Path, watch: Watch
) -> None:
    writers.watch = watch
    try:
        async with net.join(torrent, manifest) as swarm:
            await fetch(
                swarm,
                writers,
                torrent,
                manifest,
                staging=net.staging,
                destination=NewTree(target),
                report=Reporter(),
            )
    finally:
        await writers.stop()


def _processor_seconds() -> tuple[float, float, float]:
    """Of this thread, of this process, and with all that it waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = time.process_time()
    return time.thread_time(), process, process + waited.ru_utime + waited.ru_stime


def main() -> None:
    name, image, target, *network = sys.argv[1:]
    do = engine(name, Path(image), Path(target), *network)
    print("ready", flush=True)
    sys.stdin.readline()
    watch = Watch()
    do(watch)
    print(msgspec.json.encode(watch.run()).decode(), flush=True)


if __name__ == "__main__":
    main()
