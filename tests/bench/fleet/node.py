# SPDX-License-Identifier: GPL-2.0-or-later
"""One simulated node: it boots, takes its job and says what an agent says."""

import asyncio
import contextlib
import re
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

import msgspec
from tests.bench.fleet.script import Script
from tests.bench.fleet.talk import Talk

from swarmstrap.hardware import Boot, Cpu, Disk, Inventory, Memory, Nic
from swarmstrap.manifest import parse_manifest
from swarmstrap.wire import (
    EVENTS,
    JOB,
    PLAN,
    REGISTER,
    SEEDING,
    Claim,
    Event,
    Events,
    Job,
    PlanReport,
    Register,
    Registered,
    Release,
    Seeding,
    Taken,
)

# As the agent has them: reporter.py, download.py, http.py.
_BATCH_SECONDS = 0.5
_MOST_EVENTS = 200
_RETRY_SECONDS = 1.0
_RELEASE_SECONDS = 3.0
_MOST_SEEDING = 8
_PORT = 6881
_INTERVAL = re.compile(rb"8:intervali(\d+)e")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens, and with what `tls` it is trusted; `fetch` is the seconds that an
    image takes.
    """

    host: str
    node_port: int
    boot_port: int
    tls: ssl.SSLContext
    fetch: float


@dataclass(slots=True)
class Heard:
    """Of all nodes of one process; times are seconds."""

    acknowledged: list[float] = field(default_factory=list)
    registered: list[float] = field(default_factory=list)
    jobs: list[float] = field(default_factory=list)
    announced: list[float] = field(default_factory=list)
    events: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    again: int = 0
    connections: int = 0
    problems: list[str] = field(default_factory=list)


class Node:
    def __init__(self, name: str, mac: str, address: str, place: Place, heard: Heard) -> None:
        self._name = name
        self._mac = mac
        self._address = address
        self._place = place
        self._heard = heard
        self._api = Talk(place.host, place.node_port, address, place.tls)
        self._session = ""
        self._left = 0
        self._waiting: list[Event] = []
        self._done = False
        self._after = 0
        self._pause = 0.0
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        try:
            job = await self._begin()
            manifest = parse_manifest(job.manifest)
            self._left = manifest.payload.size
            announcing = asyncio.create_task(self._announce(bytes.fromhex(manifest.infohash)))
            try:
                await self._tell_story(manifest.payload.size)
                await self._seed()
            finally:
                announcing.cancel()
                await asyncio.wait([announcing])
        except (OSError, EOFError, msgspec.DecodeError, RuntimeError) as error:
            self._heard.problems.append(f"{self._name}: {type(error).__name__}: {error}")
        finally:
            self._heard.connections += self._api.connections
            await self._api.close()

    async def _begin(self) -> Job:
        register = Register(inventory=inventory(self._mac), boot_id="b", version="bench")
        answer = await self._timed(REGISTER, register, "", self._heard.registered)
        token = msgspec.json.decode(answer, type=Registered).token
        if not token:
            raise RuntimeError(f"no token: {answer!r}")
        claim = Claim(claim=f"the word of {self._name}")
        job = msgspec.json.decode(await self._timed(JOB, claim, token, self._heard.jobs), type=Job)
        self._session = job.session
        return job

    async def _tell_story(self, payload: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        sending = asyncio.create_task(self._deliver())
        lines = tuple(f"step {n}: do what the layout says to the disk" for n in range(25))
        await self._timed(PLAN, PlanReport(digest="0" * 64, lines=lines), self._session, [])
        for moment in Script(payload, self._place.fetch, time.time()).moments():
            delay = began + moment.at - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self._left = moment.left if moment.event.kind == "progress" else self._left
            self._record(moment.event)
        self._left = 0
        self._done = True
        self._hurry.set()
        await sending

    def _record(self, event: Event) -> None:
        last = self._waiting[-1] if self._waiting else None
        if last and last.kind == event.kind == "progress":
            self._waiting.pop()
        self._waiting.append(event)
        if event.kind != "progress":
            self._hurry.set()
            kept = self._heard.kept
            kept[self._name] = kept.get(self._name, 0) + 1

    async def _deliver(self) -> None:
        while not (self._done and not self._waiting):
            await asyncio.sleep(_BATCH_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._pause)
            self._hurry.clear()
            while batch := tuple(self._waiting[:_MOST_EVENTS]):
                try:
                    await self._say(Events(events=batch, after=self._after))
                except (OSError, EOFError):
                    self._heard.again += 1
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _say(self, events: Events) -> None:
        heard = self._heard
        answer = await self._timed(EVENTS, events, self._session, heard.acknowledged)
        taken = msgspec.json.decode(answer, type=Taken)
        if taken.sequence < events.after:
            raise RuntimeError(f"the server has {taken.sequence} and had {events.after}")
        self._after, self._pause = taken.sequence, taken.pause
        self._waiting = [event for event in self._waiting if event.sequence > taken.sequence]
        heard.events += len(events.events)

    async def _seed(self) -> None:
        for _ in range(_MOST_SEEDING):
            seeding = Seeding(uploaded=1 << 20, peers=8)
            answer = await self._timed(SEEDING, seeding, self._session, [])
            if msgspec.json.decode(answer, type=Release).leave:
                return
            await asyncio.sleep(_RELEASE_SECONDS)

    async def _announce(self, infohash: bytes) -> None:
        """As libtorrent does, until cancelled; a tracker asks for its own interval."""
        place, event = self._place, "&event=started"
        word = quote_from_bytes(infohash[:20])
        tracker = Talk(place.host, place.boot_port, self._address, None)
        try:
            while True:
                query = f"info_hash={word}&peer_id=-LT2110-{self._mac.replace(':', '')}"
                query += f"&port={_PORT}&uploaded=0&downloaded=0&left={self._left}&compact=1"
                began = time.perf_counter()
                _, content = await tracker.get(f"/announce?{query}{event}")
                self._heard.announced.append(time.perf_counter() - began)
                await tracker.close()
                event = ""
                found = _INTERVAL.search(content)
                if found is None:
                    raise RuntimeError(f"the tracker answered {content!r}")
                await asyncio.sleep(int(found[1]))
        except (OSError, EOFError, RuntimeError) as error:
            self._heard.problems.append(f"{self._name}, tracker: {error}")

    async def _timed(
        self, path: str, body: msgspec.Struct, bearer: str, times: list[float]
    ) -> bytes:
        content = msgspec.json.encode(body)
        began = time.perf_counter()
        status, answer = await self._api.post(path, content, bearer)
        times.append(time.perf_counter() - began)
        if status >= 300:
            raise RuntimeError(f"{path} answered {status}: {answer!r}")
        return answer


def inventory(mac: str) -> Inventory:
    """Of a usual server: two disks, four ports."""
    macs = [mac, *(f"{0x52 + 4 * n:02x}{mac[2:]}" for n in (1, 2, 3))]
    ports = tuple(Nic(name=f"eth{n}", mac_address=each) for n, each in enumerate(macs))
    disks = tuple(
        Disk(name=f"/dev/nvme{n}n1", size=960 << 30, serial=f"{mac}-{n}") for n in range(2)
    )
    return Inventory(
        boot=Boot(current_boot_mode="uefi", pxe_interface=mac),
        cpu=Cpu(architecture="x86_64"),
        memory=Memory(total=256 << 30),
        disks=disks,
        interfaces=ports,
    )
