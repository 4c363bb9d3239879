# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel and initramfs for many nodes: queued for their turn, sent from here or by booted nodes."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import Refused
from swarmstrap.wire import BootFile, Passing, PassOn
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.netboot import boot
from swarmstrap_server.netboot.turns import Turns

log = logging.getLogger(__name__)

# Answered before firmware or a middlebox takes the silence for a broken connection.
_PATIENCE = 30.0
# A node whose turn came, and which has not taken its job since, failed and will load again.
_STARTS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Digest:
    version: tuple[int, int]
    size: int
    sha256: str


class Sharing:
    """`swarm.boot_peers` of the site, at work. `clock` is monotonic seconds."""

    def __init__(
        self, deployments: Deployments, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._deployments = deployments
        self._clock = clock
        self._turns = Turns()
        self._queue: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._came: dict[str, float] = {}
        self._racks: dict[str, str] = {}
        self._digests: dict[Path, _Digest] = {}
        self._hashing = asyncio.Lock()

    @property
    def active(self) -> bool:
        return self._deployments.site.settings.swarm.boot_peers != "off"

    @property
    def _copies(self) -> int:
        return self._deployments.site.settings.swarm.boot_copies

    async def turn(self, node: str, address: str) -> bool:
        """Wait until `node` may load the installer; false when that takes too long: ask again.

        First come, first served, but for who asks again.
        """
        if not await self._admitted(address):
            return False
        self._came[node] = self._clock()
        self._racks[address] = self._deployments.site.rack_of(node)
        return True

    async def _admitted(self, address: str) -> bool:
        if not self._queue and self._admit(address):
            return True
        mine = asyncio.get_running_loop().create_future()
        self._queue.append((address, mine))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await mine
                return True
        self._queue = deque(entry for entry in self._queue if entry[1] is not mine)
        return False

    async def source(self, path: Path, address: str) -> str | None:
        """The URL of `path` at another node, or None: it is to be sent `from_here`."""
        sha256 = (await self._digest(path)).sha256
        url = self._turns.source(sha256, self._clock(), self._racks.get(address, ""))
        if url is not None:
            log.info("%s loads %s from %s", address, path.name, url)
            self._asked(path, address)
        return url

    @contextlib.contextmanager
    def from_here(self, path: Path, address: str) -> Iterator[None]:
        """While this server sends a file itself."""
        self._turns.begin()
        self._asked(path, address)
        try:
            yield
        finally:
            self._turns.end()
            self._next()

    async def heard(self, node: str, address: str, passing: Passing) -> PassOn:
        """What `node` is to pass on: nothing when it is not needed, or not any more."""
        now = self._clock()
        to_load = self._to_load(now)
        wanted = self.active and self._turns.wants(node, to_load, self._copies, now)
        if not wanted or passing.leaves:
            self._turns.left(node)
        else:
            rack = self._racks[address] = self._deployments.site.rack_of(node)
            self._turns.heard(node, address, passing, now, rack)
        self._next()
        return PassOn(files=await self.files() if wanted else ())

    async def files(self) -> tuple[BootFile, BootFile]:
        """Kernel and initramfs as they lie on the disk now."""
        site = self._deployments.site
        paths = site.paths
        kernel, initramfs = await self._digest(paths.kernel), await self._digest(paths.initramfs)
        return (
            BootFile(url=site.boot_url + boot.KERNEL, size=kernel.size, sha256=kernel.sha256),
            BootFile(
                url=site.boot_url + boot.INITRAMFS, size=initramfs.size, sha256=initramfs.sha256
            ),
        )

    def _to_load(self, now: float) -> int:
        """How many nodes are expected that have not even begun to load."""
        self._came = {n: at for n, at in self._came.items() if now - at < _STARTS_SECONDS}
        armed = self._deployments.store.deployments("armed")
        return sum(deployment.node not in self._came for deployment in armed)

    def tick(self) -> None:
        """To be called every few seconds: places of those that went away become free."""
        self._next()

    def _asked(self, path: Path, address: str) -> None:
        """The initramfs is the last that a node asks for; then its transfer is what counts."""
        if path == self._deployments.site.paths.initramfs:
            self._turns.served(address)

    def _admit(self, address: str) -> bool:
        return self._turns.admit(address, self._copies, self._clock())

    def _next(self) -> None:
        while self._queue and self._admit(self._queue[0][0]):
            _, waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(None)

    async def _digest(self, path: Path) -> _Digest:
        try:
            async with self._hashing:
                status = path.stat()
                version = (status.st_mtime_ns, status.st_ino)
                known = self._digests.get(path)
                if known is None or known.version != version:
                    sha256 = await asyncio.to_thread(_sha256, path)
                    known = self._digests[path] = _Digest(version, status.st_size, sha256)
        except OSError as error:
            raise Refused(
                f"cannot read {path}: {error.strerror}", hint="build it: swarmstrap initramfs"
            ) from error
        return known


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
