# SPDX-License-Identifier: GPL-2.0-or-later
"""The installer's kernel and initramfs, passed on by this node to those that boot later.

The kernel frees the initramfs that it was booted with, so a node that is wanted for this loads both
files once more, compares them with the digests that came over TLS, and serves them from memory.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from swarmstrap.effects.transfer.staged import Staged
from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap.units import MiB
from swarmstrap.wire import BootFile, Passing, PassOn

log = logging.getLogger(__name__)

Ask = Callable[[Passing], Awaitable[PassOn]]

PORT = 8080
# The server names a peer to two at a time; what comes beyond a few was not sent by it.
_MOST_TRANSFERS = 4
_REPORT_SECONDS = 2.0
_STALL_SECONDS = 15.0
# A node that leaves lets firmware finish: an initramfs takes seconds on a link of 100 Mbit/s.
_DRAIN_SECONDS = 20.0


class BootShare:
    """`start` it when the job is there, `leave` at the end. `room` is how many bytes memory has for
    this; `address` is the only one that is listened on; `tell` hears in one line what goes on.
    """

    def __init__(
        self,
        staged: Staged,
        ask: Ask,
        *,
        address: str,
        port: int,
        room: int,
        tell: Callable[[str], None],
    ) -> None:
        self._staged = staged
        self._ask = ask
        self._address = address
        self._port = port
        self._room = room
        self._tell = tell
        self._holds: tuple[str, ...] = ()
        self._transfers = 0
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name="pass the installer on")

    async def leave(self) -> None:
        """The server sends nobody any more, and whoever is being served is finished with."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    async def _run(self) -> None:
        """As long as the server wants it. Whatever goes wrong is no affair of the deployment's."""
        try:
            files = (await self._ask(Passing())).files
            size = sum(file.size for file in files)
            if not files or size > self._room:
                return
            await asyncio.to_thread(self._staged.make, size + MiB)
            try:
                await self._serve(files)
            finally:
                await asyncio.to_thread(self._staged.remove)
        except (SwarmstrapError, OSError) as error:
            log.warning("the installer is not passed on: %s", error)

    async def _load(self, files: tuple[BootFile, ...]) -> None:
        timeout = aiohttp.ClientTimeout(sock_connect=_STALL_SECONDS, sock_read=_STALL_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for file in files:
                path = self._staged.place / file.sha256
                # Another node may be gone, or worse; then the server itself has to do.
                if not await _loaded(session, f"{file.url}?shared", file, path):
                    if not await _loaded(session, file.url, file, path):
                        raise Unreachable(f"{file.url} is not to be had")
        self._tell("passing the installer on to nodes that boot later")

    async def _serve(self, files: tuple[BootFile, ...]) -> None:
        app = web.Application()
        app.router.add_get("/{sha256}", self._send)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        loading = asyncio.create_task(self._load(files))
        loading.add_done_callback(lambda _: self._changed.set())
        try:
            await web.TCPSite(runner, self._address, self._port).start()
            while await self._wanted(files):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REPORT_SECONDS):
                        await self._changed.wait()
                if loading.done() and not self._holds:
                    loading.result()
                    self._holds = tuple(file.sha256 for file in files)
        finally:
            loading.cancel()
            await asyncio.wait([loading])
            await self._drain()
            await runner.cleanup()

    async def _wanted(self, files: tuple[BootFile, ...]) -> bool:
        """Report; whether the server wants these files passed on. Its silence changes nothing."""
        self._changed.clear()
        passing = Passing(port=self._port, holds=self._holds, transfers=self._transfers)
        try:
            return (await self._ask(passing)).files == files
        except Unreachable as error:
            log.warning("still passing the installer on: %s", error)
            return True

    async def _drain(self) -> None:
        with contextlib.suppress(SwarmstrapError):
            await self._ask(Passing(leaves=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._transfers:
                    self._changed.clear()
                    await self._changed.wait()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        if sha256 not in self._holds:
            raise web.HTTPNotFound
        if self._transfers >= _MOST_TRANSFERS:
            raise web.HTTPServiceUnavailable
        return _Counted(self._staged.place / sha256, self._count)

    def _count(self, change: int) -> None:
        self._transfers += change
        if change < 0:
            self._changed.set()


class _Counted(web.FileResponse):
    def __init__(self, path: Path, count: Callable[[int], None]) -> None:
        super().__init__(path)
        self._count = count

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._count(1)
        try:
            return await super().prepare(request)
        finally:
            self._count(-1)


async def _loaded(session: aiohttp.ClientSession, url: str, file: BootFile, path: Path) -> bool:
    """Whether `url` gave what the server has; a file of another digest does not stay."""
    digest, left = hashlib.sha256(), file.size
    try:
        async with session.get(url, max_redirects=2) as response:
            response.raise_for_status()
            with path.open("wb") as target:
                async for chunk in response.content.iter_chunked(MiB):
                    left -= len(chunk)
                    if left < 0:
                        break
                    digest.update(chunk)
                    target.write(chunk)
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("%s: %s", url, error)
        return False
    if digest.hexdigest() == file.sha256:
        return True
    path.unlink()
    log.warning("%s is not what the server has", url)
    return False
