# SPDX-License-Identifier: GPL-2.0-or-later
"""`Idempotency-Key`: what was asked twice is done once."""

import asyncio

import pytest
from tests.http.api import Api, make_api
from tests.http.conftest import Live

from swarmstrap_server.api.idempotency import KEEP_SECONDS

KEY = {"Idempotency-Key": "6f1c"}
ORDER = {"nodes": ["n1"], "image": "tiny"}


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


def armings(api: Api) -> int:
    return len(api.live.services.deployments.store.deployments())


async def test_a_repeated_request_gets_the_first_answer(api: Api) -> None:
    first = await api.ask("POST", "/deployments", "operator", ORDER, KEY)
    again = await api.ask("POST", "/deployments", "operator", ORDER, KEY)
    assert (first.status, again.status) == (201, 201)
    assert again.value == first.value
    assert again.headers["Idempotency-Replayed"] == "true"
    assert armings(api) == 1


async def test_another_request_with_the_same_key_is_refused(api: Api) -> None:
    await api.ask("POST", "/deployments", "operator", ORDER, KEY)
    other = {**ORDER, "nodes": ["n2"]}
    refused = await api.ask("POST", "/deployments", "operator", other, KEY)
    assert refused.status == 422
    assert armings(api) == 1


async def test_keys_are_each_ones_own_and_forgotten_after_a_day(api: Api) -> None:
    await api.ask("POST", "/deployments", "operator", ORDER, KEY)
    await api.ask("POST", "/deployments", "admin", ORDER, KEY)
    assert armings(api) == 2
    api.live.clock.now += KEEP_SECONDS + 1
    await api.ask("POST", "/deployments", "operator", ORDER, KEY)
    assert armings(api) == 3


async def test_a_failure_may_be_tried_again_with_its_key(api: Api) -> None:
    kernel = api.live.paths.kernel
    aside = kernel.rename(kernel.with_suffix(".aside"))
    assert (await api.ask("POST", "/deployments", "operator", ORDER, KEY)).status == 409
    aside.rename(kernel)
    assert (await api.ask("POST", "/deployments", "operator", ORDER, KEY)).status == 201


async def test_requests_at_the_same_time_arm_once(api: Api) -> None:
    asking = [api.ask("POST", "/deployments", "operator", ORDER, KEY) for _ in range(8)]
    answers = await asyncio.gather(*asking)
    assert {answer.status for answer in answers} <= {201, 409}
    assert armings(api) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none(api: Api, key: str) -> None:
    refused = await api.ask("POST", "/deployments", "operator", ORDER, {"Idempotency-Key": key})
    assert refused.status == 400
    assert armings(api) == 0
