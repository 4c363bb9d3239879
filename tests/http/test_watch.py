# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pages follow goes on when it fell behind or failed, and says so."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from tests.http.conftest import Live

from swarmstrap_server.control import events, views
from swarmstrap_server.dashboard import watch as watching
from swarmstrap_server.dashboard.watch import Watch

SECONDS = 10.0


@pytest.fixture
def watch(live: Live) -> Watch:
    return Watch(live.services.deployments, live.services.rates)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0)


async def hears(live: Live, watch: Watch) -> bool:
    version = watch.version
    live.services.deployments.feed.note("n1", "named", "it has a name", live.clock.now)
    await watch.changed(version, SECONDS)
    return watch.version > version


async def test_who_comes_while_others_still_follow_what_ended_hears(
    live: Live, watch: Watch
) -> None:
    feed = live.services.deployments.feed
    async with watch.follow():
        assert await hears(live, watch)
        for _ in range(events._BACKLOG + 2):
            feed.note("n1", "named", "faster than anybody reads", live.clock.now)
        await until(lambda: watch.ended)
        async with watch.follow():
            assert not watch.ended
            assert await hears(live, watch)


async def test_who_comes_as_the_last_one_leaves_hears(live: Live, watch: Watch) -> None:
    leaving = watch.follow()
    await leaving.__aenter__()
    left = asyncio.create_task(leaving.__aexit__(None, None, None))
    await asyncio.sleep(0)
    assert not left.done()
    async with watch.follow():
        await left
        assert not watch.ended
        assert await hears(live, watch)


async def test_a_failure_is_said_and_who_connects_again_hears(
    live: Live, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.delattr(views, "node_views")
        async with watch.follow():
            await until(lambda: watch.ended)
    assert "the pages hear of nodes no more" in caplog.text
    async with watch.follow():
        assert await hears(live, watch)


async def test_rates_are_sampled_on_after_a_failure(
    live: Live, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(watching, "SAMPLE_SECONDS", 0.0)
    taken: list[float] = []

    def take(_: object, now: float) -> None:
        taken.append(now)
        if len(taken) == 1:
            raise ZeroDivisionError

    monkeypatch.setattr(watch.rates, "take", take)
    task = asyncio.create_task(watch.sample())
    await until(lambda: len(taken) > 2)
    task.cancel()
    assert caplog.text.count("no rates of this moment") == 1
