# SPDX-License-Identifier: GPL-2.0-or-later
"""An image on its way through this node: staged, written at once, and served to the peers."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.effects.transfer import fetch
from swarmstrap.effects.transfer.fetch import Destination, NewTree
from swarmstrap.effects.transfer.staged import InMemory, InTree, Staged
from swarmstrap.effects.transfer.swarm import Swarm, Torrent
from swarmstrap.errors import Refused, Unreachable, Untrusted
from swarmstrap.index import STAGING, Index
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.staging import staged_size
from swarmstrap.wire import Release, Seeding

log = logging.getLogger(__name__)

_RELEASE_SECONDS = 3.0
# A server that was restarted is back by then, and peers that were cut off have come again.
_UNWANTED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """Whence an image comes. `site` is a URL of the server, `seeders` are addresses of further
    seeders; `address` is this node's own.
    """

    manifest: Manifest
    torrent: Torrent
    site: str
    trackers: tuple[str, ...]
    web_seeds: tuple[str, ...]
    deal: str
    address: str
    seeders: tuple[str, ...] = ()


class Download:
    """`fetch` or `into`, `seed` and `forget`; `stop` at any time, and all of it again.

    `memory` is where a tmpfs for the staged files goes; on the target they go below `root`.
    """

    def __init__(self, writers: Writers, report: Reporter, *, root: Path, memory: Path) -> None:
        self._writers = writers
        self._report = report
        self._root = root
        self.memory = InMemory(memory)
        self._swarm: Swarm | None = None
        self._staged: Staged = self.memory

    async def fetch(self, source: Source, staging: Literal["memory", "target"]) -> None:
        """The whole image below the root, and its compressed files where they can be served."""
        await self.into(NewTree(self._root), source, self.staged(staging))

    def staged(self, staging: Literal["memory", "target"]) -> Staged:
        return self.memory if staging == "memory" else InTree(self._root / os.fsdecode(STAGING))

    async def into(self, destination: Destination, source: Source, staged: Staged) -> None:
        """The image to its destination, and its compressed files where they are served."""
        self._staged = staged
        await asyncio.to_thread(staged.make, staged_size(source.manifest), source.torrent.name)
        urls = (source.site, *source.trackers, *source.web_seeds)
        seeders = await asyncio.to_thread(fetch.seeder_addresses, urls)
        seeders |= set(source.seeders)
        self._swarm = Swarm(
            source.torrent,
            staged.place,
            trackers=source.trackers,
            web_seeds=source.web_seeds,
            seeders=seeders,
            deal=source.deal,
            tell=self._report.warn,
            address=source.address,
            everything=destination.everything,
        )
        await fetch.fetch(
            self._swarm,
            self._writers,
            source.torrent,
            source.manifest,
            staging=staged.place,
            destination=destination,
            report=self._report,
        )
        await self._writers.rest()

    async def index(self, source: Source) -> Index:
        """Of the image that was fetched last; its staged files must still be there."""
        file, _ = source.torrent.files[0]
        return await asyncio.to_thread(load_index, self._staged.place / file, source.manifest)

    async def seed(self, seconds: float, ask: Callable[[Seeding], Awaitable[Release]]) -> None:
        """Serve until the server lets go or the time is over. Without a server that is silent, or
        knows nothing of this node any more, the peers decide: it ends when none takes anything.
        """
        loop = asyncio.get_running_loop()
        wanted = loop.time()
        deadline, given = wanted + seconds, 0
        while self._swarm is not None and loop.time() < deadline:
            seeding = self._swarm.seeding()
            if seeding.uploaded != given:
                wanted, given = loop.time(), seeding.uploaded
            try:
                release = await ask(seeding)
            except (Unreachable, Refused, Untrusted) as error:
                log.warning("still seeding: %s", error)
                idle = loop.time() - wanted > _UNWANTED_SECONDS
                reason = "no word of the server, and no peer takes anything" if idle else ""
                release = Release(leave=idle, reason=reason)
            else:
                wanted = loop.time()
            if release.leave:
                self._report.log(f"released: {release.reason or 'no longer needed'}")
                break
            await asyncio.sleep(_RELEASE_SECONDS)
        self._leave()

    async def forget(self) -> None:
        """Nothing of the staged files stays on the target, and nobody is served from there."""
        if self._staged.in_the_way:
            self._leave()
            await asyncio.to_thread(self._staged.remove)
            self._staged = self.memory

    async def stop(self) -> None:
        """Whatever goes on ends, and nothing keeps the target busy."""
        self._leave()
        await self._writers.rest()
        staged, self._staged = self._staged, self.memory
        await asyncio.to_thread(staged.abandon)

    def _leave(self) -> None:
        if self._swarm is not None:
            self._swarm.leave()
            self._swarm = None
