# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching and writing at once: a frame is written as soon as its last piece has come."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import NotYetReadable, load_index
from swarmstrap.effects.transfer.instruments import Instruments
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.errors import StepFailed
from swarmstrap.frames import Progress, index_pieces, payload_pieces, pieces_of
from swarmstrap.index import Index
from swarmstrap.limits import limit, node_demands
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.units import MiB
from swarmstrap.wire import Usage

Result = TypeVar("Result")

# A finished piece was seen to become readable up to 0.7 s later; the rest is for a busy machine.
_READABLE_SECONDS = 60.0
_AGAIN_SECONDS = 0.05
_REPORT_SECONDS = 1.0


def writer_count(memory: int) -> int:
    """Writers for this machine: as many as cores, but a quarter of the memory at most.

    `memory` in bytes, 0 when unknown. More than cores do not help; each takes some 40 MiB.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, memory // 4 // (40 * MiB))) if memory else cores


def seeder_addresses(urls: Iterable[str]) -> frozenset[str]:
    """The addresses behind the site's URLs: what comes from them does not come from a peer."""
    found: set[str] = set()
    for host in {urlsplit(url).hostname for url in urls} - {None}:
        with contextlib.suppress(OSError):
            found.update(str(info[4][0]) for info in socket.getaddrinfo(host, None))
    return frozenset(found)


class Destination(Protocol):
    """What an image is written to, by the writers. Unless it takes `everything`, only the index is
    fetched before `begin`, and then what it wants.
    """

    @property
    def everything(self) -> bool: ...

    @property
    def place(self) -> Path:
        """The disk's node, or the directory that its filesystems are mounted at."""
        ...

    async def begin(self, writers: Writers, payload: Path, index: Index) -> None:
        """Open it for the writers, and make what comes before all data."""

    def wanted(self, index: Index) -> Collection[int]:
        """The frames that are to be written."""
        ...

    def last(self, index: Index) -> Collection[int]:
        """The frames that are written when all others are on the disk."""
        ...


@dataclass(frozen=True, slots=True)
class NewTree:
    """New filesystems."""

    place: Path
    everything = True

    async def begin(self, writers: Writers, payload: Path, index: Index) -> None:
        await writers.open(Tree(os.fsencode(self.place)), payload, index)
        await writers.skeleton()

    def wanted(self, index: Index) -> Collection[int]:
        return range(len(index.frames))

    def last(self, index: Index) -> Collection[int]:
        return ()


async def fetch(
    swarm: Swarm,
    writers: Writers,
    torrent: Torrent,
    manifest: Manifest,
    *,
    staging: Path,
    destination: Destination,
    report: Reporter,
) -> None:
    """What the destination wants of the image comes into `staging` and, unpacked, to it."""
    index_file, payload_file = (staging / path for path, _ in torrent.files)
    instruments = await asyncio.to_thread(Instruments, swarm.address, destination.place, writers)
    reporting = asyncio.create_task(_report(swarm, report, instruments))
    try:
        pieces = swarm.pieces()
        early = await _until(pieces, index_pieces(manifest.index.size, torrent.piece_length))
        index = await _readable(partial(asyncio.to_thread, load_index, index_file, manifest))
        await destination.begin(writers, payload_file, index)
        own = payload_pieces(manifest.index.size, manifest.payload.size, torrent.piece_length)
        wanted = frozenset(destination.wanted(index))
        swarm.want(pieces_of((index.frames[n] for n in wanted), own, torrent.piece_length))
        progress = Progress(index.frames, own, torrent.piece_length)
        last = destination.last(index)
        async with asyncio.TaskGroup() as writing:

            def begin(piece: int) -> None:
                for frame in progress.have(piece):
                    if frame in wanted and frame not in last:
                        writing.create_task(_readable(partial(writers.write, frame)))

            for piece in early:
                begin(piece)
            async for piece in pieces:
                begin(piece)
        if last:
            await writers.sync()
            for frame in last:
                await _readable(partial(writers.write, frame))
        await writers.finish()
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    finally:
        reporting.cancel()
    usage = _tell_progress(swarm, report, instruments)
    if found := limit(usage.seconds, node_demands(usage, swarm.received.total)):
        report.log(f"fetched and written in {found.sentence()}")


async def _until(pieces: AsyncIterator[int], wanted: Iterable[int]) -> list[int]:
    """All that have come when none of the `wanted` is missing."""
    come: list[int] = []
    missing = set(wanted)
    async for piece in pieces:
        come.append(piece)
        missing.discard(piece)
        if not missing:
            break
    return come


async def _readable(attempt: Callable[[], Awaitable[Result]]) -> Result:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _READABLE_SECONDS
    while True:
        try:
            return await attempt()
        except NotYetReadable as error:
            if loop.time() > deadline:
                raise StepFailed(
                    f"staged data stay unreadable for {_READABLE_SECONDS:.0f} s: {error.message}",
                    hint="check the node's memory, and the image on the server",
                ) from error
        await asyncio.sleep(_AGAIN_SECONDS)


async def _report(swarm: Swarm, report: Reporter, instruments: Instruments) -> None:
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        _tell_progress(swarm, report, instruments)


def _tell_progress(swarm: Swarm, report: Reporter, instruments: Instruments) -> Usage:
    received, usage = swarm.received, instruments.usage()
    report.progress(
        received.total / swarm.wanted,
        from_seeder=received.from_seeder,
        from_peers=received.from_peers,
        usage=usage,
    )
    return usage
