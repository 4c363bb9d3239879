# SPDX-License-Identifier: GPL-2.0-or-later
"""Logins of a browser: the cookie, how long it is good for, and pages of other sites."""

from http.cookies import SimpleCookie

import aiohttp
import pytest
from tests.http.api import Api, make_api
from tests.http.conftest import Live

from swarmstrap_server.api.auth import COOKIE
from swarmstrap_server.control.access import LOGIN_SECONDS

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
DISARM = {"nodes": ["n1"]}


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


async def post(api: Api, path: str, headers: dict[str, str], **form: str) -> aiohttp.ClientResponse:
    response = await api.live.http.post(
        api.url + path, data=form, headers=headers, allow_redirects=False
    )
    await response.read()
    return response


async def log_in(api: Api, token: str) -> dict[str, str]:
    """What the browser then sends along."""
    response = await post(api, "/login", OWN_PAGE, token=token)
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie = SimpleCookie(response.headers["Set-Cookie"])[COOKIE]
    assert (cookie["httponly"], cookie["secure"], cookie["path"]) == (True, True, "/")
    assert (cookie["samesite"], cookie["domain"]) == ("Strict", "")
    return {"Cookie": f"{COOKIE}={cookie.value}"}


async def test_a_login_may_what_its_token_may(api: Api) -> None:
    cookie = await log_in(api, api.tokens["viewer"])
    assert (await api.ask("GET", "/nodes", None, headers=cookie)).status == 200
    acting = {**cookie, **OWN_PAGE}
    assert (await api.ask("POST", "/disarm", None, DISARM, acting)).status == 403
    acting = {**await log_in(api, api.tokens["operator"]), **OWN_PAGE}
    assert (await api.ask("POST", "/disarm", None, DISARM, acting)).status == 204


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
    ],
)
async def test_a_page_of_another_site_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    told = {name: value.replace("{own}", api.url) for name, value in headers.items()}
    acting = {**await log_in(api, api.tokens["operator"]), **told}
    refused = await api.ask("POST", "/disarm", None, DISARM, acting)
    assert refused.status == 403
    assert "another site" in str(refused.value)
    assert (await post(api, "/login", told, token=api.tokens["admin"])).status == 403
    assert (await post(api, "/logout", acting)).status == 403


async def test_a_browser_that_only_tells_the_origin(api: Api) -> None:
    acting = {**await log_in(api, api.tokens["operator"]), "Origin": api.url}
    assert (await api.ask("POST", "/disarm", None, DISARM, acting)).status == 204


async def test_a_login_ends_with_time_with_its_token_and_when_asked(api: Api) -> None:
    first, second, third = [await log_in(api, api.tokens["viewer"]) for _ in range(3)]
    ended = await post(api, "/logout", {**first, **OWN_PAGE})
    assert (ended.status, ended.headers["Location"]) == (303, "/login")
    assert SimpleCookie(ended.headers["Set-Cookie"])[COOKIE]["max-age"] == "0"
    assert (await api.ask("GET", "/nodes", None, headers=first)).status == 401
    assert (await api.ask("GET", "/nodes", None, headers=second)).status == 200
    api.live.clock.now += LOGIN_SECONDS
    assert (await api.ask("GET", "/nodes", None, headers=third)).status == 401
    fourth = await log_in(api, api.tokens["viewer"])
    api.live.services.access.revoke("the-viewer")
    assert (await api.ask("GET", "/nodes", None, headers=fourth)).status == 401


@pytest.mark.parametrize("token", ["", "x", "the-admin.x"])
async def test_a_wrong_token_is_no_login(api: Api, token: str) -> None:
    response = await post(api, "/login", OWN_PAGE, token=token)
    assert (response.status, response.headers["Location"]) == (303, "/login?wrong")
    assert "Set-Cookie" not in response.headers
