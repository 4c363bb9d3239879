# SPDX-License-Identifier: GPL-2.0-or-later
"""Webhooks, delivered to a listener that is there, slow, or not there."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from tests.http.agents import begin
from tests.http.api import make_api
from tests.http.conftest import ADDRESS, Clock, Live, free_ports

from swarmstrap.wire import Event, Events
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.announcing import DELAYS, Letter, next_try
from swarmstrap_server.control.deliveries import HISTORY, Deliveries
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.store import Store
from swarmstrap_server.rollouts.values import Order
from swarmstrap_server.times import time_of_day

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


async def test_nobody_listens_and_then_somebody_does(
    live: Live, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    await fails(live)
    live.services.upkeep.tick()
    await settled(live, 1)
    ((tries, outcome, again),) = outcomes(live)
    assert (tries, again) == (1, True)
    assert "Connect" in outcome
    assert f"webhook {ADDRESS}:{ear.port}, again later: " in caplog.text
    assert "/hook" not in caplog.text
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
    assert (given_up.event, given_up.node) == ("deployment.failed", "n1")
    assert live.services.deployments.store.deployment(given_up.subject) is not None
    assert [one.status for one in given_up.tries] == [None, *[500] * len(DELAYS)]
    assert [after.at - before.at for before, after in pairwise(given_up.tries)] == list(DELAYS)
    answer = await make_api(live).ask("GET", "/webhooks", "operator")
    assert answer.status == 200
    assert SECRET.decode() not in str(answer.value)
    assert "keys/hook" not in str(answer.value)
    assert await live.command("webhooks", "--json") == 0
    assert msgspec.json.decode(capsys.readouterr().out) == answer.value
    assert await live.command("webhooks", hook.name, "--json") == 0
    assert [msgspec.json.decode(capsys.readouterr().out)] == answer.value


async def test_the_history_of_one_hook_has_every_try(
    live: Live, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    await fails(live)
    live.services.upkeep.tick()
    await settled(live, 1)
    live.clock.now += DELAYS[0]
    async with listening(ear):
        live.services.upkeep.tick()
        await settled(live, 2)
    name = f"{ADDRESS}:{ear.port}"
    assert await live.command("webhooks", name) == Exit.DONE
    title, row = capsys.readouterr().out.splitlines()
    assert title.split() == ["made", "event", "of", "state", "tries"]
    assert " deployment.failed  n1  delivered  " in row
    first, second = row.rpartition("delivered  ")[2].split("; ")
    assert first.startswith(f"{time_of_day(live.clock.now - DELAYS[0])} ClientConnectorError: ")
    assert second.rstrip() == f"{time_of_day(live.clock.now)} answered 204"
    assert await live.command("webhooks", f"{name}0") == Exit.FAILED
    assert f"no webhook '{name}0', did you mean {name!r}?" in capsys.readouterr().err


async def test_a_trial_says_what_the_hook_answered(
    live: Live, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{ADDRESS}:{ear.port}"
    async with listening(ear):
        assert await live.command("webhooks", name, "--test") == Exit.DONE
        assert capsys.readouterr().out == f"{name} took the trial: answered 204\n"
        ear.status = 500
        assert await live.command("webhooks", name, "--test") == Exit.FAILED
        assert capsys.readouterr().out == f"{name} did not take the trial: answered 500\n"
    (first, body), (second, _) = ear.told
    told = msgspec.json.decode(body)
    assert (told["type"], told["data"]["webhook"]) == ("webhook.test", name)
    assert first["webhook-id"] != second["webhook-id"]
    signed = b".".join((first["webhook-id"].encode(), first["webhook-timestamp"].encode(), body))
    digest = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert first["webhook-signature"] == f"v1,{digest}"
    assert sorted(outcomes(live)) == [(1, "answered 204", False), (1, "answered 500", False)]
    assert await live.command("webhooks", "--test") == Exit.FAILED
    assert "a trial is for one webhook" in capsys.readouterr().err


async def test_who_may_send_a_trial(live: Live, ear: Ear) -> None:
    api = make_api(live)
    path = f"/webhooks/{ADDRESS}:{ear.port}/test"
    assert (await api.ask("POST", path, "viewer")).status == 403
    async with listening(ear):
        sent = (await api.ask("POST", path, "operator")).value
    assert isinstance(sent, dict)
    assert (sent["event"], sent["delivered"], sent["attempts"]) == ("webhook.test", True, 1)
    assert (await api.ask("POST", "/webhooks/nobody/test", "operator")).status == 404


async def test_the_dashboard_names_a_hook_that_did_not_listen(live: Live, ear: Ear) -> None:
    bearer = {"Authorization": f"Bearer {make_api(live).tokens['viewer']}"}
    page = live.services.deployments.site.operator_url

    async def fleet() -> str:
        async with live.http.get(page, headers=bearer) as response:
            return await response.text()

    said = f"Webhook {ADDRESS}:{ear.port} did not take its last message"
    assert said not in await fleet()
    await fails(live)
    live.services.upkeep.tick()
    await settled(live, 1)
    told = await fleet()
    assert said in told
    assert f"no answer, next try {time_of_day(live.clock.now + DELAYS[0])}" in told
    assert f"{ear.port}/hook" not in told
    live.clock.now += DELAYS[0]
    async with listening(ear):
        live.services.upkeep.tick()
        await settled(live, 2)
    assert said not in await fleet()


def test_the_last_messages_of_a_hook_are_kept_longest(tmp_path: Path) -> None:
    clock = Clock()
    hooks = ("http://one.example", "http://other.example")
    body = b'{"type":"rollout.ended","data":{"id":"a1"}}'
    with contextlib.closing(Store(tmp_path / "database")) as store:
        kept = Deliveries(store, clock)
        for number in range(HISTORY + 5):
            for url in hooks:
                letter = Letter(id=f"{url}/{number}", url=url, body=body)
                kept.put(letter, made=clock.now + number, due=None)
        waiting = Letter(id="waiting", url=hooks[0], body=body)
        kept.put(waiting, made=clock.now - 1, due=clock.now)

        def left() -> int:
            kept.forget()
            (count,) = store.execute("SELECT COUNT(*) FROM deliveries").fetchone()
            return int(count)

        assert left() == len(hooks) * (HISTORY + 5) + 1
        clock.now += 2 * 86400
        assert left() == len(hooks) * HISTORY + 1
        newest = [f"{hooks[0]}/{number}" for number in reversed(range(5, HISTORY + 5))]
        assert [delivery.id for delivery in kept.of(hooks[0])] == newest
        clock.now += 30 * 86400
        assert left() == 1
        assert [due.letter.id for due in kept.due(10)] == ["waiting"]


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
    assert (hook.name, hook.url) == ("chat.example", "https://chat.example/hook")
