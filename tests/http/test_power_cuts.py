# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that loses its power: what it gets when it is there again."""

import pytest
from tests.http.agents import begin, finish, notes, start
from tests.http.conftest import MAC, Live, register

from swarmstrap import wire
from swarmstrap.errors import Refused, Untrusted
from swarmstrap.wire import Events
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.nodes import SILENCE_SECONDS


async def come_back(live: Live, seconds: float = 30.0) -> wire.Registered:
    """The node n1 has lost its power, and is there again after so many seconds."""
    live.clock.now += seconds
    return await live.api.register(register(), patience=0)


async def boot_script(live: Live) -> str:
    async with live.http.get(f"{live.boot}/boot/ipxe", params={"mac": MAC}) as response:
        return await response.text()


async def test_a_node_that_loses_its_power_begins_anew(live: Live) -> None:
    api, job = await begin(live)
    await api.send(Events(events=(start(7, "do/image/2"), finish(8, "do/image/2"))))
    await api.close()
    assert "initrd" in await boot_script(live)
    again = await live.api.job((await come_back(live)).token, patience=0)
    assert again.deployment == job.deployment
    with pytest.raises(Untrusted):
        live.services.deployments.session(job.session)
    await live.api.send(Events(events=(start(1, "do/disks/1"),)))
    deployment = live.services.deployments.session(again.session)
    assert (deployment.sequence, deployment.phase, deployment.fetched) == (1, "disks", False)
    assert (deployment.begun, deployment.phases) == (2, {})
    assert notes(live)[-3:] == ["server/registered", "server/started", "do/disks/1"]


async def test_a_node_that_loses_its_power_while_it_seeds_is_deployed(live: Live) -> None:
    api, _ = await begin(live)
    await api.send(Events(events=(finish(7, "do/image/2"), start(8, "do/seed/9"))))
    await api.close()
    assert (await come_back(live)).token == ""
    assert "initrd" not in await boot_script(live)
    live.clock.now += SILENCE_SECONDS
    live.services.deployments.tick()
    view = live.services.deployments.view("n1")
    assert (view.state, notes(live)[-1]) == ("deployed", "server/deployed")
    assert view.deployment is not None
    assert "its disk was complete" in view.deployment.reason


async def test_a_node_that_is_heard_is_not_there_twice(live: Live) -> None:
    api, _ = await begin(live)
    await api.close()
    registered = await come_back(live, 4.0)
    assert registered.token == ""
    assert registered.reason.startswith("tiny:1 is under way since ")
    assert "initrd" in await boot_script(live)  # it asks again when it has started anew


async def test_a_token_to_begin_anew_is_worth_nothing_once_the_node_is_heard(live: Live) -> None:
    api, _ = await begin(live)
    token = (await come_back(live)).token
    await api.send(Events(events=(start(1, "do/disks/1"),)))
    await api.close()
    with pytest.raises(Refused, match="the arming is gone: active"):
        await live.api.job(token, patience=0)


async def test_a_node_does_not_begin_for_ever(live: Live) -> None:
    api, _ = await begin(live)
    await api.close()
    for _ in range(2):
        await live.api.job((await come_back(live)).token, patience=0)
    registered = await come_back(live)
    assert registered.token == ""
    assert registered.reason == "tiny:1 was begun 3 times, and has not come to its end"
    assert "initrd" not in await boot_script(live)


async def test_a_restarted_server_lets_in_again_only_whom_it_has_heard_since(live: Live) -> None:
    api, job = await begin(live)
    await api.close()
    before = live.services.deployments
    live.clock.now += 1
    restarted = Deployments(before.site, before.store, before.images, live.clock)
    deployment = restarted.session(job.session)
    assert not restarted.grants(deployment)
    batch = Events(events=(start(1, "do/disks/1"),))
    assert restarted.grants(restarted.feed.take(deployment, batch, live.clock.now))
