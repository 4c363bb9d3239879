# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong tokens at the listener for other machines: pauses for one address, and for no other."""

import asyncio
from http.cookies import SimpleCookie

import aiohttp
import pytest
from tests.http.api import Answer, Api, make_api
from tests.http.conftest import Live

from swarmstrap.effects.http import tls
from swarmstrap_server.api import stream
from swarmstrap_server.api.auth import COOKIE
from swarmstrap_server.control.operator_wire import BASE
from swarmstrap_server.control.tries import FREE, Tries

WRONG = {"Authorization": "Bearer the-admin.x"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def api(live: Live) -> Api:
    live.services.tries = Tries(live.clock)
    return make_api(live)


async def wrong(api: Api, times: int = 1) -> Answer:
    """The last of so many answers."""
    answers = [await api.ask("GET", "/status", None, headers=WRONG) for _ in range(times)]
    return answers[-1]


async def log_in(api: Api, token: str) -> aiohttp.ClientResponse:
    """Its body is read, and kept for `text`."""
    response = await api.live.http.post(
        f"{api.url}/login", data={"token": token}, headers=OWN_PAGE, allow_redirects=False
    )
    await response.read()
    return response


async def says_when(response: aiohttp.ClientResponse, when: str) -> None:
    """The page of the login, with one line that tells whoever looks at it."""
    assert (response.status, response.content_type) == (429, "text/html")
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none';")
    text = await response.text()
    assert 'action="/login"' in text
    (line,) = [line for line in text.splitlines() if 'role="alert"' in line]
    assert f"from this address: try again in {when}," in line


async def test_after_some_wrong_tokens_the_address_waits(api: Api) -> None:
    assert (await wrong(api, FREE)).status == 401
    early = await api.ask("GET", "/status", "admin")
    assert (early.status, early.headers["Retry-After"]) == (429, "1")
    assert early.headers["Content-Type"] == "application/problem+json"
    assert isinstance(early.value, dict)
    assert early.value["type"] == "/api/#problem-toomanytries"
    api.live.clock.now += 1
    assert (await wrong(api)).status == 401
    assert (await wrong(api)).headers["Retry-After"] == "2"
    api.live.clock.now += 2
    assert (await api.ask("GET", "/status", "admin")).status == 200
    assert (await wrong(api)).status == 401


async def test_logins_count_and_wait_as_well(api: Api) -> None:
    cookie = SimpleCookie((await log_in(api, api.tokens["viewer"])).headers["Set-Cookie"])[COOKIE]
    for _ in range(FREE):
        assert (await log_in(api, "guess")).headers["Location"] == "/login?wrong"
    paused = await log_in(api, api.tokens["admin"])
    assert paused.headers["Retry-After"] == "1"
    assert "Set-Cookie" not in paused.headers
    await says_when(paused, "1 second")
    api.live.clock.now += 1
    assert (await log_in(api, "guess")).headers["Location"] == "/login?wrong"
    paused = await log_in(api, api.tokens["admin"])
    assert paused.headers["Retry-After"] == "2"
    await says_when(paused, "2 seconds")
    assert (await wrong(api)).status == 429
    logged_in = {"Cookie": f"{COOKIE}={cookie.value}"}
    assert (await api.ask("GET", "/status", None, headers=logged_in)).status == 200


async def test_a_page_asked_for_with_wrong_tokens_says_when_to_come_again(api: Api) -> None:
    await wrong(api, FREE)
    async with api.live.http.get(f"{api.url}/metrics", headers=WRONG) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
    async with api.live.http.get(f"{api.url}/", headers=WRONG) as response:
        assert response.headers["Retry-After"] == "1"
        await says_when(response, "1 second")


async def test_another_address_and_the_socket_do_not_wait(api: Api) -> None:
    await wrong(api, FREE)
    assert (await wrong(api)).status == 429
    there = aiohttp.TCPConnector(
        ssl=tls(api.live.paths.ca_certificate), local_addr=("127.0.0.7", 0)
    )
    async with aiohttp.ClientSession(connector=there) as elsewhere:
        bearer = {"Authorization": f"Bearer {api.tokens['viewer']}"}
        async with elsewhere.get(f"{api.url}{BASE}/status", headers=bearer) as response:
            assert response.status == 200
    assert (await wrong(api)).status == 429
    assert (
        await asyncio.to_thread(api.live.operator.status)
    ).site == api.live.services.deployments.site.settings.name


async def test_a_stream_goes_on_while_others_are_wrong(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_ALIVE_SECONDS", 0.05)
    bearer = {"Authorization": f"Bearer {api.tokens['viewer']}"}
    url = f"{api.url}{BASE}/stream"
    async with asyncio.timeout(20), api.live.http.get(url, headers=bearer) as told:
        await wrong(api, FREE)
        alive = 0
        while alive < 5:
            line = await told.content.readline()
            assert line, "the stream has ended"
            alive += line == b":\n"
    assert (await wrong(api)).status == 429


async def test_who_shows_no_token_is_not_counted(api: Api) -> None:
    for _ in range(FREE + 1):
        assert (await api.ask("GET", "/status", None)).status == 401
    assert len(api.live.services.tries) == 0
