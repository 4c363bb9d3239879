# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes an image's frames in any order, on all cores, in processes of their own.

The parent decides what comes next and never touches the target itself: a disk that hangs costs a
deadline, not the heartbeat. A writer is asked one thing at a time and needs no index, so memory is
bounded: a writer holds one frame, compressed and not (about 8 MiB as captured, `index.MAX_FRAME`
at most), the parent the index, about 500 bytes an entry.
"""

import asyncio
import contextlib
import itertools
import os
import select
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec

from swarmstrap.effects import writer
from swarmstrap.effects.forkserver import ForkServer
from swarmstrap.effects.zstd import NotYetReadable, load_index
from swarmstrap.errors import StepFailed, Untrusted
from swarmstrap.index import Entry, Index
from swarmstrap.manifest import Manifest

# A frame is some 8 MiB: ten minutes are a disk that takes 14 kB/s.
_FRAME_SECONDS = 600.0
# All that is dirty in memory, at worst gigabytes, to a slow disk.
_SYNC_SECONDS = 3600.0
_END_SECONDS = 10.0
# Entries in one request: enough to hide the round trip, few enough for its deadline.
_BATCH = 1024


class Writers:
    """Writer processes: `open`, `write` for each frame in any order and from any number of tasks,
    `finish`; `rest` in any case, and before unmounting. After it all of that may come again.
    """

    def __init__(self, forks: ForkServer, count: int) -> None:
        self._forks = forks
        self._count = count
        self._workers: tuple[_Worker, ...] = ()
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._index: Index | None = None

    @classmethod
    def start(cls, count: int) -> "Writers":
        """Make ready for `count` processes. Call it while there are no threads and no secrets."""
        return cls(ForkServer.start(writer.serve), count)

    async def open(self, root: Path, payload: Path, index: Path, manifest: Manifest) -> Index:
        """Check the index file, and make below `root` everything that has no data.

        Raises NotYetReadable while the index file differs from the manifest, Untrusted when it is
        what the manifest says and cannot be used, StepFailed when the target refuses.
        """
        loaded = await asyncio.to_thread(load_index, index, manifest)
        await self.rest()
        self._workers = tuple(_Worker(self._forks) for _ in range(self._count))
        opening = writer.Open(root=os.fsencode(root), payload=os.fsencode(payload))
        for worker in self._workers:
            await worker.ask(opening, _FRAME_SECONDS, "opening the target")
            self._idle.put_nowait(worker)
        self._index = loaded
        entries = loaded.entries
        filled = {member.entry for frame in loaded.frames for member in frame.members}
        await self._batches(writer.Make, _directories(loaded))
        empty = (e for i, e in enumerate(entries) if e.kind not in "dh" and i not in filled)
        await self._batches(writer.Make, empty)
        await self._batches(writer.Reserve, _split_files(loaded))
        return loaded

    async def write(self, frame: int) -> None:
        """Verify, decompress and write one frame.

        Raises NotYetReadable when its bytes are not (all) in the payload file yet.
        """
        index = self._opened()
        chosen = index.frames[frame]
        request = writer.WriteFrame(
            number=frame,
            offset=chosen.offset,
            length=chosen.length,
            unpacked=chosen.unpacked,
            sha256=chosen.sha256,
            pieces=tuple(
                writer.Piece(index.entries[member.entry], member.whole, member.segments)
                for member in chosen.members
            ),
        )
        async with self._free() as worker:
            await worker.ask(request, _FRAME_SECONDS, f"writing frame {frame}")

    async def finish(self) -> None:
        """Metadata of split files, hard links, directories from the leaves up; then sync."""
        index = self._opened()
        await self._batches(writer.Seal, _split_files(index))
        await self._batches(writer.Make, (e for e in index.entries if e.kind == "h"))
        await self._batches(writer.Seal, reversed(_directories(index)))
        async with self._free() as worker:
            await worker.ask(writer.Sync(), _SYNC_SECONDS, "syncing the target")

    async def rest(self) -> None:
        """End the writer processes, whatever they are doing. Safe to repeat."""
        workers, self._workers = self._workers, ()
        self._idle = asyncio.Queue()
        self._index = None
        for worker in workers:
            worker.close()
        for worker in workers:
            await asyncio.to_thread(worker.reap)

    async def stop(self) -> None:
        """Rest, for good."""
        await self.rest()
        await asyncio.to_thread(self._forks.stop)

    def _opened(self) -> Index:
        if self._index is None:
            raise StepFailed("frames were given to writers that have no target")
        return self._index

    async def _batches(
        self,
        request: type[writer.Make | writer.Reserve | writer.Seal],
        entries: Iterable[Entry],
    ) -> None:
        # One after the other: parents come before what is in them, or after it.
        remaining = iter(entries)
        async with self._free() as worker:
            while batch := tuple(itertools.islice(remaining, _BATCH)):
                what = f"making entry {batch[0].path!r} and those after it"
                await worker.ask(request(batch), _FRAME_SECONDS, what)

    @contextlib.asynccontextmanager
    async def _free(self) -> AsyncIterator["_Worker"]:
        worker = await self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put_nowait(worker)


def _directories(index: Index) -> list[Entry]:
    return [entry for entry in index.entries if entry.kind == "d"]


def _split_files(index: Index) -> list[Entry]:
    split = {m.entry for frame in index.frames for m in frame.members if not m.whole}
    return [index.entries[number] for number in sorted(split)]


class _Worker:
    """The parent's end of one writer process. `ask` is for one task at a time."""

    def __init__(self, forks: ForkServer) -> None:
        self._forks = forks
        self._pid, self._connection = forks.fork()
        self._process = os.pidfd_open(self._pid)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._ended = ""

    async def ask(self, request: writer.Request, seconds: float, what: str) -> None:
        """Raises what the writer replies, or StepFailed when it is dead or silent."""
        if self._ended:
            raise StepFailed(self._ended)
        try:
            async with asyncio.timeout(seconds):
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
        code = os.waitstatus_to_exitcode(self._forks.status(self._pid))
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
