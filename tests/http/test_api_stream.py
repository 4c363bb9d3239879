# SPDX-License-Identifier: GPL-2.0-or-later
"""The stream: a client that was away and says what it heard last misses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest
from aiohttp import StreamReader
from tests.http.api import Api, make_api
from tests.http.conftest import CLAIM, Live, register

from swarmstrap.wire import Event, Events
from swarmstrap_server.api import stream
from swarmstrap_server.control.operator_wire import BASE, Arm, Record, Snapshot

SECONDS = 10.0


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


@dataclass
class Source:
    """As a browser's EventSource keeps it: `last` is what it says when it comes back."""

    content: StreamReader
    last: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    async def message(self) -> Snapshot | Record:
        kind, data = "", b""
        while line := (await asyncio.wait_for(self.content.readline(), SECONDS)).rstrip(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"event":
                kind = value.decode()
            elif name == b"data":
                data = value
            elif name == b"id":
                self.last = value.decode()
        if kind == "snapshot":
            return msgspec.json.decode(data, type=Snapshot)
        return msgspec.json.decode(data, type=Record)


@contextlib.asynccontextmanager
async def listening(api: Api, last: str = "") -> AsyncIterator[Source]:
    headers = {"Authorization": f"Bearer {api.tokens['viewer']}"}
    if last:
        headers["Last-Event-ID"] = last
    async with api.live.http.get(f"{api.url}{BASE}/stream", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Source(response.content, last)


def note(api: Api, name: str) -> None:
    api.live.services.deployments.feed.note("n1", name, "", api.live.clock.now)


def name(message: Snapshot | Record) -> str:
    return "snapshot" if isinstance(message, Snapshot) else message.event.name


async def test_who_comes_back_hears_what_was_said_meanwhile(api: Api) -> None:
    note(api, "before")
    async with listening(api) as source:
        assert name(await source.message()) == "snapshot"
        note(api, "heard")
        assert name(await source.message()) == "server/heard"
    note(api, "missed")
    note(api, "missed-too")
    async with listening(api, source.last) as source:
        told = [name(await source.message()) for _ in range(3)]
        assert told == ["server/missed", "server/missed-too", "snapshot"]
        note(api, "after")
        assert name(await source.message()) == "server/after"


async def test_a_snapshot_is_enough_to_come_back_from(api: Api) -> None:
    note(api, "before")
    async with listening(api) as source:
        await source.message()
    note(api, "missed")
    async with listening(api, source.last) as source:
        assert name(await source.message()) == "server/missed"


async def test_progress_does_not_move_the_place(api: Api) -> None:
    deployments = api.live.services.deployments
    deployments.arm(Arm(nodes=("n1",), image="tiny"))
    session = deployments.take_job(deployments.register(register(), "").token, CLAIM).session
    async with listening(api) as source:
        await source.message()
        place = source.last
        progress = Event(sequence=1, time=1.0, kind="progress", name="do/image/1", progress=0.5)
        deployments.feed.take(deployments.session(session), Events(events=(progress,)), 1.0)
        assert name(await source.message()) == "do/image/1"
        assert source.last == place


async def test_what_was_too_much_to_tell_again_is_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "REPLAY", 2)
    note(api, "heard")
    async with listening(api) as source:
        await source.message()
    for number in range(5):
        note(api, f"missed-{number}")
    async with listening(api, source.last) as source:
        told = [await source.message() for _ in range(3)]
    assert [name(message) for message in told] == [
        "server/missed-3",
        "server/missed-4",
        "snapshot",
    ]
    assert isinstance(told[2], Snapshot)
    assert told[2].missed == 3


async def test_a_place_of_another_database_is_as_none(api: Api) -> None:
    note(api, "before")
    async with listening(api, "999999") as source:
        assert name(await source.message()) == "snapshot"


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "²"])
async def test_a_place_that_is_none_is_refused(api: Api, last: str) -> None:
    headers = {"Last-Event-ID": last}
    assert (await api.ask("GET", "/stream", "viewer", headers=headers)).status == 400


async def test_a_stream_ends_with_its_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_ALIVE_SECONDS", 0.01)
    async with listening(api) as source:
        await source.message()
        api.live.services.access.revoke("the-viewer")
        rest = await asyncio.wait_for(source.content.read(), SECONDS)
        assert rest.replace(b":\n\n", b"") == b""


async def test_a_client_that_leaves_is_no_fault(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "_ALIVE_SECONDS", 0.01)
    feed = api.live.services.deployments.feed
    async with listening(api) as source:
        await source.message()
        assert feed.listeners
    async with asyncio.timeout(SECONDS):
        while feed.listeners:  # noqa: ASYNC110 - nothing of the feed is told of it
            await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_quiet_stream_is_kept_alive(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_ALIVE_SECONDS", 0.01)
    async with listening(api) as source:
        await source.message()
        assert await asyncio.wait_for(source.content.readline(), SECONDS) == b":\n"
