# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes an image's frames in any order, on all cores, in processes of their own.

The parent decides what comes next and never touches the target itself: a disk that hangs costs a
deadline, not the heartbeat.

Memory is bounded: a writer needs no index and is asked one thing at a time, so it holds one frame,
compressed and not (8 to 12 MiB as captured, at most twice `index.MAX_FRAME`). The parent holds the
index, about 500 bytes an entry, and one request for each writer; a frame that waits for a writer is
a task of some 2 kB, its data stay in the payload file.
"""

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from swarmstrap.effects.images import writer
from swarmstrap.effects.images.forkserver import ForkServer
from swarmstrap.effects.images.work import Work
from swarmstrap.effects.images.zstd import NotYetReadable
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.index import Index

# A frame is some 8 MiB: ten minutes are a disk that takes 14 kB/s.
_FRAME_SECONDS = 600.0
# All that is dirty in memory, at worst gigabytes, to a slow disk.
_SYNC_SECONDS = 3600.0
_END_SECONDS = 10.0
# Entries in one request: enough to hide the round trip, few enough to share them out.
_BATCH = 256

Item = TypeVar("Item")


class Writers:
    """Writer processes: `open`, `skeleton`, `write` for each frame in any order and from any number
    of tasks, `finish`; `rest` in any case, and before unmounting. After it all of that may come
    again.
    """

    def __init__(self, forks: ForkServer, count: int) -> None:
        self._forks = forks
        self._count = count
        self._workers: tuple[_Worker, ...] = ()
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._work: Work | None = None

    @classmethod
    def start(cls, count: int) -> Self:
        """Make ready for `count` processes. Call it while there are no threads and no secrets."""
        return cls(ForkServer.start(writer.serve), count)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that write now."""
        return tuple(worker.pid for worker in self._workers)

    @property
    def busy(self) -> float:
        """Seconds that they have spent on requests since `open`, summed up."""
        return sum(worker.busy for worker in self._workers)

    async def open(
        self,
        place: writer.Place,
        payload: Path,
        index: Index,
        only: Collection[int] | None = None,
    ) -> None:
        """Begin with a checked index; with `only` just these of its entries, by number.

        Nothing is written before `skeleton`. Raises StepFailed when the target cannot be opened.
        """
        await self.rest()
        self._workers = tuple(_Worker(self._forks) for _ in range(self._count))
        opening = writer.Open(place, os.fsencode(payload))
        for worker in self._workers:
            await worker.ask(opening, _FRAME_SECONDS, "opening the target")
            self._idle.put_nowait(worker)
        self._work = Work(index, range(len(index.entries)) if only is None else only)

    async def skeleton(self) -> None:
        """Directories, whatever else has no data, and room for files of several frames."""
        work = self._opened()
        for level in work.directories:
            await self._share("making directories", map(writer.Make, _batches(level)))
        await self._share("making entries without data", map(writer.Make, _batches(work.empty)))
        await self._share("making room for files", map(writer.Reserve, _batches(work.split)))

    async def write(self, frame: int) -> None:
        """Verify, decompress and write one frame.

        Raises NotYetReadable when its bytes are not (all) in the payload file yet.
        """
        work = self._opened()
        async with self._free() as worker:
            await worker.ask(work.frame(frame), _FRAME_SECONDS, f"writing frame {frame}")

    async def finish(self) -> None:
        """All that `complete` does, and everything is on the disk."""
        await self.complete()
        await self.sync()

    async def complete(self) -> None:
        """Metadata of split files, hard links, directories from the leaves up."""
        work = self._opened()
        split = [room.entry for room in work.split]
        await self._share("completing files", map(writer.Seal, _batches(split)))
        await self._share("making hard links", map(writer.Make, _batches(work.links)))
        for level in reversed(work.directories):
            await self._share("completing directories", map(writer.Seal, _batches(level)))

    async def sync(self) -> None:
        """Everything written so far is on the disk."""
        async with self._free() as worker:
            await worker.ask(writer.Sync(), _SYNC_SECONDS, "syncing the target")

    async def rest(self) -> None:
        """End the writer processes, whatever they are doing. Safe to repeat."""
        workers, self._workers = self._workers, ()
        self._idle = asyncio.Queue()
        self._work = None
        for worker in workers:
            worker.close()
        for worker in workers:
            await asyncio.to_thread(worker.reap)

    async def stop(self) -> None:
        """Rest, for good."""
        await self.rest()
        await asyncio.to_thread(self._forks.stop)

    def _opened(self) -> Work:
        if self._work is None:
            raise StepFailed("frames were given to writers that have no target")
        return self._work

    async def _share(self, what: str, requests: Iterator[writer.Batch]) -> None:
        """All of them done, in any order, by all writers."""

        async def do_some() -> None:
            async with self._free() as worker:
                for request in requests:
                    await worker.ask(request, _FRAME_SECONDS, what)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in self._workers:
                    tasks.create_task(do_some())
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    @contextlib.asynccontextmanager
    async def _free(self) -> AsyncIterator["_Worker"]:
        worker = await self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put_nowait(worker)


def _batches(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    return (tuple(items[n : n + _BATCH]) for n in range(0, len(items), _BATCH))


class _Worker:
    """The parent's end of one writer process. `ask` is for one task at a time."""

    def __init__(self, forks: ForkServer) -> None:
        self._forks = forks
        self.pid, self._connection = forks.fork()
        self._process = os.pidfd_open(self.pid)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._ended = ""
        self._worked = 0.0
        self._asked: float | None = None

    @property
    def busy(self) -> float:
        """Seconds spent on requests, including the present one."""
        now = time.monotonic()
        return self._worked + now - (now if self._asked is None else self._asked)

    async def ask(self, request: writer.Request, seconds: float, what: str) -> None:
        """Raises what the writer replies, or StepFailed when it is dead or silent."""
        if self._ended:
            raise StepFailed(self._ended)
        try:
            async with asyncio.timeout(seconds):
                self._asked = time.monotonic()
                reply = await self._exchange(msgspec.msgpack.encode(request))
        except TimeoutError as error:
            self._ended = f"{what} did not end within {seconds:.0f} s"
            raise StepFailed(self._ended, hint="see the kernel log for the disk's state") from error
        except (EOFError, OSError) as error:
            self._ended = f"{what}: the writer process {await asyncio.to_thread(self.reap)}"
            raise StepFailed(
                self._ended, hint="see the kernel log; a node needs memory for every writer"
            ) from error
        except BaseException:
            # The reply of an abandoned request would be taken for that of the next one.
            self._ended = f"{what} was given up"
            raise
        finally:
            self._worked, self._asked = self.busy, None
        if reply.result == "not-yet":
            raise NotYetReadable(reply.message, hint=reply.hint)
        if reply.result == "untrusted":
            raise Untrusted(reply.message, hint=reply.hint)
        if reply.result == "failed":
            raise StepFailed(reply.message, hint=reply.hint)

    async def _exchange(self, message: bytes) -> writer.Reply:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self._connection)
        reader, stream = self._streams
        stream.write(len(message).to_bytes(writer.LENGTH_BYTES, "little"))
        stream.write(message)
        await stream.drain()
        head = await reader.readexactly(writer.LENGTH_BYTES)
        data = await reader.readexactly(int.from_bytes(head, "little"))
        return msgspec.msgpack.decode(data, type=writer.Reply)

    def close(self) -> None:
        """An idle writer ends by itself when it reads the end of the requests."""
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._connection.close()
        self._ended = self._ended or "the writer process was stopped"

    def reap(self) -> str:
        """Wait for its end, insist when it does not come, and say how it ended. Blocking."""
        if self._process < 0:
            return "had ended before"
        if not select.select([self._process], [], [], _END_SECONDS)[0]:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            if not select.select([self._process], [], [], _END_SECONDS)[0]:
                return "cannot be killed: it waits for the disk"
        os.close(self._process)
        self._process = -1
        code = os.waitstatus_to_exitcode(self._forks.status(self.pid))
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
