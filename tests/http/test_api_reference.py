# SPDX-License-Identifier: GPL-2.0-or-later
"""The readable page of the API: it has every route, and what it links to is there."""

import re

import pytest
from tests.http.api import DOCUMENT, Api, make_api
from tests.http.conftest import Live

from swarmstrap_server.api.auth import COOKIE
from swarmstrap_server.api.problems import KINDS, anchor
from swarmstrap_server.api.table import ROUTES


@pytest.fixture
async def page(live: Live) -> str:
    api: Api = make_api(live)
    cookie = {"Cookie": f"{COOKIE}={live.services.access.login(api.tokens['viewer'])}"}
    async with live.http.get(f"{api.url}/api/", headers=cookie) as response:
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return await response.text()


async def test_it_has_every_route_and_every_type(page: str) -> None:
    for route in ROUTES:
        assert f"<strong>{route.method}</strong> {route.path}</td>" in page
    for name in DOCUMENT["components"]["schemas"]:
        assert f'<tr id="{name}">' in page


async def test_what_it_links_to_and_what_problems_point_to_is_there(page: str) -> None:
    places = set(re.findall(r' id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page)) - {"main"}
    assert links
    assert links <= places
    assert {anchor(kind).removeprefix("/api/#") for kind, _, _ in KINDS} <= places
