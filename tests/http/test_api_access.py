# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may use the API from another machine: a walk over its own document, and tokens."""

import aiohttp
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from tests.http.api import DOCUMENT, Api, make_api
from tests.http.conftest import Live

from swarmstrap_server.api.table import ROUTES
from swarmstrap_server.control.operator_wire import BASE, ROLES, MadeToken, Role

LOWER: dict[Role, Role] = {"operator": "viewer", "admin": "operator"}


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


async def test_the_document_is_valid_openapi(api: Api) -> None:
    told = (await api.ask("GET", "/openapi.json", "viewer")).value
    assert told == DOCUMENT
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)
    operations = [o for path in DOCUMENT["paths"].values() for o in path.values()]
    assert len({o["operationId"] for o in operations}) == len(operations) == len(ROUTES)


async def test_no_route_is_for_nobody_or_for_too_low_a_role(api: Api) -> None:
    walked = 0
    for template, operations in DOCUMENT["paths"].items():
        path = template.removeprefix(BASE).replace("{", "").replace("}", "")
        for method, operation in operations.items():
            anonymous = await api.ask(method, path, None)
            assert anonymous.status == 401, (method, path)
            role = operation["x-role"]
            if role in LOWER:
                lower = await api.ask(method, path, LOWER[role])
                assert lower.status == 403, (method, path)
                assert isinstance(lower.value, dict)
                assert lower.value["hint"] == f"ask with a token of role {role}"
            walked += 1
    assert walked == len(ROUTES)


@pytest.mark.parametrize("secret", ["", "the-viewer", "the-viewer.", "nobody.x", "a.b.c"])
async def test_a_token_that_is_none(api: Api, secret: str) -> None:
    refused = await api.ask("GET", "/status", None, headers={"Authorization": f"Bearer {secret}"})
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_token_ends_when_it_expires_or_is_revoked(api: Api) -> None:
    made = await api.ask("POST", "/tokens", body={"name": "day", "role": "viewer", "days": 1})
    assert made.status == 201
    api.tokens["viewer"] = msgspec.convert(made.value, MadeToken).token
    assert (await api.ask("GET", "/status", "viewer")).status == 200
    api.live.clock.now += 86400
    late = await api.ask("GET", "/status", "viewer")
    assert (late.status, "the token day has expired" in str(late.value)) == (401, True)
    assert (await api.ask("DELETE", "/tokens/the-operator")).status == 204
    assert (await api.ask("GET", "/status", "operator")).status == 401
    assert (await api.ask("DELETE", "/tokens/the-operator")).status == 404


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"{",
        {"name": "a"},
        {"name": "a", "role": "root"},
        {"name": "a", "role": "viewer", "more": 1},
        {"name": "a.b", "role": "viewer"},
        {"name": "a", "role": "viewer", "days": 0},
    ],
)
async def test_an_order_for_a_token_that_cannot_be_followed(api: Api, order: object) -> None:
    refused = await api.ask("POST", "/tokens", body=order)
    assert refused.status == 400
    assert len(api.live.services.access.tokens()) == len(ROLES)


async def test_a_name_is_given_once(api: Api) -> None:
    order = {"name": "the-viewer", "role": "admin"}
    assert (await api.ask("POST", "/tokens", body=order)).status == 409


async def test_no_secret_is_at_rest(api: Api) -> None:
    cookie = api.live.services.access.login(api.tokens["admin"])
    files = sorted(api.live.paths.database.parent.iterdir())
    kept = b"".join(path.read_bytes() for path in files)
    assert b"the-admin" in kept
    for secret in (cookie, *api.tokens.values()):
        assert secret.partition(".")[2].encode() not in kept


async def test_who_does_not_know_the_ca_of_the_site_is_not_connected(api: Api) -> None:
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.get(f"{api.url}{BASE}/status")
