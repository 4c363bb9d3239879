# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard's pages over HTTPS: who sees what, and how they change while somebody looks."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from html import unescape
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.http.conftest import CLAIM, Live, register
from tests.http.simulated.telling import progress, said

from swarmstrap.wire import Events
from swarmstrap_server import dashboard
from swarmstrap_server.api.auth import COOKIE
from swarmstrap_server.api.table import ROUTES
from swarmstrap_server.control.operator_wire import BASE, Arm, Role
from swarmstrap_server.dashboard.pages import PAGES
from swarmstrap_server.rollouts.values import Order, Pace

SECONDS = 10.0
TEMPLATES = Path(dashboard.__path__[0]) / "templates"
PATHS = [page.path.replace("{part}", "n1") for page in PAGES]


class Visitor:
    """A browser without a screen; `role` is None for somebody who did not log in."""

    def __init__(self, live: Live, role: Role | None) -> None:
        self.live = live
        self.url = live.services.deployments.site.operator_url
        self.headers: dict[str, str] = {}
        if role is not None:
            access = live.services.access
            cookie = SimpleCookie({COOKIE: access.login(access.add(f"the-{role}", role))})
            self.headers = {"Cookie": cookie.output(header="").strip()}

    async def get(self, path: str) -> tuple[aiohttp.ClientResponse, str]:
        return await self._read(
            self.live.http.get(self.url + path, headers=self.headers, allow_redirects=False)
        )

    async def post(self, path: str, **form: str) -> tuple[aiohttp.ClientResponse, str]:
        own = {**self.headers, "Sec-Fetch-Site": "same-origin"}
        return await self._read(self.live.http.post(self.url + path, headers=own, data=form))

    async def _read(
        self, asking: contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]
    ) -> tuple[aiohttp.ClientResponse, str]:
        async with asking as response:
            return response, unescape(await response.text())

    @contextlib.asynccontextmanager
    async def follow(self, path: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """The name and data of each message of a page's stream."""
        async with self.live.http.get(f"{self.url}/live{path}", headers=self.headers) as response:
            assert response.status == 200
            yield self._messages(response)

    async def _messages(self, response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
        name = ""
        while line := (await asyncio.wait_for(response.content.readline(), SECONDS)).decode():
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                yield name, value


async def test_a_stranger_is_sent_to_the_login(live: Live) -> None:
    stranger = Visitor(live, None)
    for path in (*PATHS, "/deploy"):
        response, _ = await stranger.get(path)
        assert (response.status, response.headers["Location"]) == (303, "/login"), path
    response, text = await stranger.get("/login?wrong")
    assert response.status == 200
    assert "no token of this site" in text


async def test_a_stranger_hears_no_stream(live: Live) -> None:
    response, _ = await Visitor(live, None).get("/live/")
    assert response.status == 401


async def test_a_page_allows_its_own_files_and_no_others(live: Live) -> None:
    visitor = Visitor(live, "viewer")
    for path in ("/", "/nodes/n1", "/swarm", "/deployments", "/images", "/login"):
        response, text = await visitor.get(path)
        assert response.status == 200, path
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert text.startswith("<!doctype html>")


async def test_who_may_only_look_is_offered_nothing_else(live: Live) -> None:
    visitor = Visitor(live, "viewer")
    live.services.deployments.arm(Arm(nodes=("n1",), image="tiny"))
    for path in ("/", "/nodes/n1"):
        _, text = await visitor.get(path)
        assert "data-path" not in text
        assert 'action="/deploy"' not in text
    response, text = await visitor.get("/deploy")
    assert response.status == 403
    assert "the role does not allow it" in text


async def test_what_is_not_there_is_said_on_a_page(live: Live) -> None:
    visitor = Visitor(live, "viewer")
    for path, message in (
        ("/nodes/n9", "there is no node n9"),
        ("/deployments/x", "there is no deployment x"),
        ("/rollouts/x", "no rollout 'x'"),
        ("/nodes/n1/log", "n1 left no log here"),
    ):
        response, text = await visitor.get(path)
        assert response.status == 404
        assert message in text
    response, _ = await visitor.get("/live/nodes/n9")
    assert response.status == 404


async def test_a_fleet_changes_cell_by_cell(live: Live) -> None:
    deployments = live.services.deployments
    async with Visitor(live, "viewer").follow("/") as messages:
        began: dict[str, str] = {}
        while "cells" not in began:
            name, data = await anext(messages)
            began[name] = data
        assert [cell["kind"] for cell in msgspec.json.decode(began["cells"])] == ["ready"] * 3
        deployments.arm(Arm(nodes=("n2",), image="tiny"))
        parts = []
        async for name, data in messages:
            told = msgspec.json.decode(data)
            if name == "cells":
                assert [(cell["name"], cell["kind"]) for cell in told] == [("n2", "armed")]
                break
            parts.append(told["name"])
    assert parts == ["counts"]


async def test_a_stream_ends_with_its_token(live: Live) -> None:
    async with Visitor(live, "viewer").follow("/") as messages:
        await anext(messages)
        live.services.access.revoke("the-viewer")
        live.services.deployments.arm(Arm(nodes=("n2",), image="tiny"))
        said = [name async for name, data in messages if "n2" in data and "armed" in data]
    assert said == []


async def test_power_is_offered_where_something_switches(live: Live) -> None:
    visitor = Visitor(live, "operator")
    _, text = await visitor.get("/")
    assert "Power on" not in text
    (live.paths.root / "groups.yaml").write_text("groups:\n- {name: all, power: {driver: wol}}\n")
    live.services.deployments.roster.reload()
    _, text = await visitor.get("/")
    assert "Power on" in text
    assert '<a href="/api/">API</a>' in text


async def test_a_node_page_follows_its_deployment(live: Live) -> None:
    deployments = live.services.deployments
    deployments.arm(Arm(nodes=("n1",), image="tiny"))
    job = deployments.take_job(deployments.register(register(), "192.0.2.9").token, CLAIM)
    async with Visitor(live, "operator").follow("/nodes/n1") as messages:
        await anext(messages)
        events = (
            said(1, 1.0, "start", "do/image/9", "fetch tiny:1"),
            progress(2, 2.0, 0.43),
        )
        session = deployments.session(job.session)
        deployments.feed.take(session, Events(events=events), live.clock.now)
        async for name, data in messages:
            if name == "part" and "43%" in data:
                break
        else:
            pytest.fail("the stream ended")
    _, text = await Visitor(live, "viewer").get("/nodes/n1")
    assert "fetch tiny:1" in text
    assert "/dev/vda" in text


async def test_an_order_says_what_it_wipes_before_it_can_be_confirmed(live: Live) -> None:
    live.services.deployments.register(register(), "192.0.2.9")
    visitor = Visitor(live, "operator")
    _, text = await visitor.post("/deploy", nodes="n1 n2", image="tiny:1", look="1")
    assert "Wipe and deploy 2 nodes with tiny:1" in text
    assert "wipe /dev/vda" in text
    assert "its hardware is not known yet" in text
    assert 'data-confirm="2"' in text
    assert {view.state for view in map(live.services.deployments.view, ("n1", "n2"))} == {"ready"}


async def test_an_order_says_who_has_to_be_started_by_hand(live: Live) -> None:
    visitor = Visitor(live, "operator")
    form = {"nodes": "n1 n2 n3", "image": "tiny:1", "look": "1"}
    _, text = await visitor.post("/deploy", minutes="45", **form)
    assert "No power driver: n[1-3]." in text
    assert "has to start these 3 from the network within 45 minutes" in text
    _, text = await visitor.post("/deploy", power="off", **form)
    assert "driver:" not in text
    assert "Somebody has to start these 3 from the network" in text
    groups = "groups:\n- {name: some, members: [n1, n2], power: {driver: wol}}\n"
    (live.paths.root / "groups.yaml").write_text(groups)
    _, text = await visitor.post("/deploy", actions="2", seconds="90", **form)
    assert "The server switches on 2 of 3, at most 2 within 1:30." in text
    assert "No power driver: n3." in text
    assert "somebody has to start it from the network" in text


async def test_the_form_orders_what_the_command_line_can(live: Live) -> None:
    _, text = await Visitor(live, "operator").post(
        "/deploy",
        look="1",
        nodes="n1",
        image="tiny:1",
        actions="4",
        seconds="60",
        at_once="8",
        retries="3",
        power_seconds="90.5",
        boot_seconds="900",
        minutes="30",
        verify="full",
        finish="poweroff",
        preserve="/srv /opt/own",
        allow_older="1",
    )
    found = re.search(r'data-path="/api/v1/rollouts" data-body="(\{.*?\})" data-says', text)
    assert found is not None
    order = msgspec.json.decode(found[1], type=Order)
    assert order.pace == Pace(
        actions=4, seconds=60.0, deploying=8, power_seconds=90.5, boot_seconds=900.0
    )
    assert 'name="power_seconds" min="1" max="86400" step="any" value="90.5"' in text
    assert 'name="boot_seconds" min="1" max="86400" step="any" value="900"' in text
    assert order.retries == 3
    assert order.arm == Arm(
        nodes=("n1",),
        image="tiny",
        version="1",
        finish="poweroff",
        minutes=30,
        preserve=("/srv", "/opt/own"),
        allow_older=True,
        verify="full",
    )


async def test_an_order_that_cannot_be_followed(live: Live) -> None:
    visitor = Visitor(live, "operator")
    for message, form in {
        "n22": {"nodes": "n22", "image": "tiny:1"},
        "no node is named": {"nodes": "", "image": "tiny:1"},
        "there is no image tniy": {"nodes": "n1", "image": "tniy:1"},
        "Invalid enum value 'upgrade'": {"nodes": "n1", "image": "tiny:1", "mode": "upgrade"},
        "`$.pace.actions`": {"nodes": "n1", "image": "tiny:1", "actions": "0"},
        "`$.pace.boot_seconds`": {"nodes": "n1", "image": "tiny:1", "boot_seconds": "0"},
        "Expected `int`": {"nodes": "n1", "image": "tiny:1", "retries": "some"},
    }.items():
        _, text = await visitor.post("/deploy", look="1", **form)
        assert message in text
        assert 'id="asked"' not in text


async def test_the_stream_costs_nothing_when_nobody_looks(live: Live) -> None:
    deployments = live.services.deployments
    async with Visitor(live, "viewer").follow("/") as messages:
        await anext(messages)
        assert len(deployments.feed._listeners) == 1
    async with asyncio.timeout(SECONDS):
        while deployments.feed._listeners:
            deployments.arm(Arm(nodes=("n1",), image="tiny"))
            await asyncio.sleep(0.3)
            deployments.disarm(("n1",))
            await asyncio.sleep(0.3)


def test_every_action_is_a_route_of_the_api() -> None:
    routes = {(route.method, BASE + route.path) for route in ROUTES}
    called = [
        (method, re.sub(r'" ~ [\w.]+\.id ~ "', "{rollout}", path))
        for template in TEMPLATES.rglob("*.html")
        for method, path in re.findall(r'act\("(\w+)", "(/.*?)", ', template.read_text())
    ]
    assert len(called) >= 7
    assert set(called) - routes == set()
