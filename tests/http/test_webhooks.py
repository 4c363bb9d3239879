# SPDX-License-Identifier: GPL-2.0-or-later
"""Webhooks, delivered to a listener that is there, slow, or not there."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest
from aiohttp import web
from tests.http.agents import begin
from tests.http.api import make_api
from tests.http.conftest import ADDRESS, Live, free_ports

from swarmstrap.wire import Event, Events
from swarmstrap_server.control.announcing import DELAYS, next_try
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.rollouts.values import Order

SECRET = b"the word of the hook"
DEADLINE = 20.0


def keep_secret(live: Live, secret: bytes) -> None:
    path = live.paths.root / "keys" / "hook"
    path.touch(mode=0o600)
    path.write_bytes(secret)


@dataclass
class Ear:
    """Notes what it is told, and answers with `status`."""

    port: int
    status: int = 204
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        self.news.set()
        return web.Response(status=self.status)

    async def hears(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while len(self.told) < count:
                self.news.clear()
                await self.news.wait()


@contextlib.asynccontextmanager
async def listening(ear: Ear) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/hook", ear.hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, ear.port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def ear(live: Live) -> AsyncIterator[Ear]:
    """Told of failures alone; the site's hooks are delivered meanwhile."""
    (port,) = free_ports(1)
    keep_secret(live, SECRET + b"\n")
    with live.paths.settings.open("a") as settings:
        settings.write(
            f"webhooks: [{{url: 'http://{ADDRESS}:{port}/hook', secret_file: keys/hook, "
            "events: [deployment.failed]}]\n"
        )
    live.services.deployments.roster.reload()
    running = asyncio.create_task(live.services.webhooks.run())
    yield Ear(port)
    running.cancel()
    await asyncio.wait([running])


async def fails(live: Live) -> None:
    api, _ = await begin(live)
    failure = Event(sequence=1, time=0, kind="finish", name="do/disks/1", result="fail")
    await api.send(Events(events=(failure,)))
    await api.close()


def outcomes(live: Live) -> list[tuple[int, str, bool]]:
    """Tries, what came of the last, and whether there will be another."""
    query = "SELECT attempts, outcome, due IS NOT NULL FROM deliveries"
    rows = live.services.deployments.store.execute(query).fetchall()
    return [(tries, outcome, bool(due)) for tries, outcome, due in rows]


async def settled(live: Live, tries: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while not all(done >= tries for done, _, _ in outcomes(live)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_failure_is_told_and_signed(live: Live, ear: Ear) -> None:
    async with listening(ear):
        await fails(live)
        live.services.upkeep.tick()
        await ear.hears(1)
    headers, body = ear.told[0]
    told = msgspec.json.decode(body)
    assert (told["type"], told["data"]["node"]) == ("deployment.failed", "n1")
    assert told["timestamp"] == "2027-01-15T08:00:00+00:00"
    signed = b".".join(
        (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    )
    digest = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    await settled(live, 1)
    assert outcomes(live) == [(1, "answered 204", False)]
    assert live.services.webhooks.pending == 0


async def test_a_secret_need_not_be_text(live: Live, ear: Ear) -> None:
    (live.paths.root / "keys" / "hook").write_bytes(b"\xff\xfe")
    async with listening(ear):
        await fails(live)
        live.services.upkeep.tick()
        await settled(live, 1)
    assert outcomes(live) == [(1, "answered 204", False)]


async def test_nobody_listens_and_then_somebody_does(live: Live, ear: Ear) -> None:
    await fails(live)
    live.services.upkeep.tick()
    await settled(live, 1)
    ((tries, outcome, again),) = outcomes(live)
    assert (tries, again) == (1, True)
    assert "Connect" in outcome
    async with listening(ear):
        live.services.upkeep.tick()  # too soon
        live.clock.now += DELAYS[0]
        live.services.upkeep.tick()
        await ear.hears(1)
    await settled(live, 2)
    assert outcomes(live) == [(2, "answered 204", False)]


async def test_operators_see_what_became_of_each(
    live: Live, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://{ADDRESS}:{ear.port}/hook"
    assert await live.command("webhooks") == 0
    assert "nothing sent yet" in capsys.readouterr().out
    await fails(live)
    live.services.upkeep.tick()
    await settled(live, 1)
    (hook,) = await asyncio.to_thread(live.operator.webhooks)
    assert (hook.url, hook.events, hook.in_site) == (url, ("deployment.failed",), True)
    (waiting,) = hook.deliveries
    due = live.clock.now + DELAYS[0]
    assert (waiting.attempts, waiting.next_try, waiting.delivered) == (1, due, False)
    ear.status = 500
    async with listening(ear):
        for tries, delay in enumerate(DELAYS, start=2):
            live.clock.now += delay
            live.services.upkeep.tick()
            await settled(live, tries)
    (given_up,) = (await asyncio.to_thread(live.operator.webhooks))[0].deliveries
    assert (given_up.next_try, given_up.delivered) == (None, False)
    assert given_up.outcome == "answered 500"
    answer = await make_api(live).ask("GET", "/webhooks", "operator")
    assert answer.status == 200
    assert SECRET.decode() not in str(answer.value)
    assert "keys/hook" not in str(answer.value)
    assert await live.command("webhooks", "--json") == 0
    assert msgspec.json.decode(capsys.readouterr().out) == answer.value


async def test_a_hook_that_always_refuses_is_given_up(live: Live, ear: Ear) -> None:
    ear.status = 500
    async with listening(ear):
        await fails(live)
        for tries, delay in enumerate((0.0, *DELAYS), start=1):
            live.clock.now += delay
            live.services.upkeep.tick()
            await settled(live, tries)
    assert outcomes(live) == [(len(DELAYS) + 1, "answered 500", False)]
    assert len({headers["webhook-id"] for headers, _ in ear.told}) == 1
    assert b'_deliveries_total{result="failed"} 6.0' in live.services.metrics.page()


async def test_the_end_of_a_rollout_is_told_once(live: Live) -> None:
    (port,) = free_ports(1)
    keep_secret(live, SECRET)
    hook = (
        f"{{url: 'http://{ADDRESS}:{port}/hook', secret_file: keys/hook, events: [rollout.ended]}}"
    )
    with live.paths.settings.open("a") as settings:
        settings.write(f"webhooks: [{hook}]\n")
    rollouts = live.services.rollouts
    begun = rollouts.start(Order(arm=Arm(nodes=("n1", "n2"), image="tiny"), power=False), "ann")
    live.services.upkeep.tick()
    assert outcomes(live) == []
    rollouts.cancel(begun.id)
    live.services.upkeep.tick()
    live.services.upkeep.tick()
    ((body,),) = live.services.deployments.store.execute("SELECT body FROM deliveries").fetchall()
    told = msgspec.json.decode(body)
    assert (told["type"], told["data"]["id"]) == ("rollout.ended", begun.id)
    assert [member["state"] for member in told["data"]["members"]] == ["cancelled"] * 2


async def test_what_a_hook_did_not_ask_for_it_is_not_told(live: Live, ear: Ear) -> None:
    api, _ = await begin(live)
    done = Event(sequence=1, time=0, kind="finish", name="do/finish/9", result="success")
    await api.send(Events(events=(done,)))
    await api.close()
    live.services.upkeep.tick()
    assert outcomes(live) == []


def test_the_last_try_has_no_next() -> None:
    assert [next_try(tries, 100.0) for tries in (1, len(DELAYS) + 1)] == [105.0, None]


async def test_a_password_in_a_url_is_not_shown(live: Live) -> None:
    (live.paths.root / "keys" / "hook").write_bytes(SECRET)
    with live.paths.settings.open("a") as settings:
        settings.write(
            "webhooks: [{url: 'https://ann:pass@chat.example/hook', secret_file: keys/hook}]\n"
        )
    live.services.deployments.roster.reload()
    (hook,) = await asyncio.to_thread(live.operator.webhooks)
    assert hook.url == "https://chat.example/hook"
