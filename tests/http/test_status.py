# SPDX-License-Identifier: GPL-2.0-or-later
"""The figure that an operator wants, from events of nodes to what commands print."""

import json
from contextlib import closing

import pytest
from tests.http.conftest import ADDRESS, Live, register

from swarmstrap.effects.http import NodeApi
from swarmstrap.wire import Event, Events, Usage
from swarmstrap_server.control.limits import node_limit
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.settings import FurtherSeeder, Settings, Swarm
from swarmstrap_server.swarm.uplink import uplink

Capture = pytest.CaptureFixture[str]
MACS = {"n1": "52:54:00:12:34:56", "n3": "52:54:00:00:00:03"}
GIGABIT = 125_000_000


async def begun(live: Live, name: str) -> NodeApi:
    """A node that has its job and begins to fetch."""
    api = NodeApi(live.node, live.paths.ca_certificate, retrying=lambda *_: None)
    token = (await api.register(register(MACS[name]), patience=0)).token
    await api.job(token, patience=0)
    start = Event(sequence=1, time=0.0, kind="start", name="do/image/1", description="fetch")
    await api.send(Events(events=(start,)))
    return api


def progress(sequence: int, share: float, seconds: float) -> Event:
    """So much of 1 GB, half of it from the seeder, by a node of 1 Gbit/s and 4 cores."""
    return Event(
        sequence=sequence,
        time=0.0,
        kind="progress",
        name="do/image/1",
        progress=share,
        from_seeder=int(share * 5e8),
        from_peers=int(share * 5e8),
        usage=Usage(seconds=seconds, link_rate=GIGABIT, cores=4, processor=seconds, disk=1.0),
    )


DONE = Event(sequence=9, time=0.0, kind="finish", name="do/image/1", result="success")


async def test_two_nodes_from_their_first_byte_to_the_record(live: Live, capsys: Capture) -> None:
    assert await live.command("deploy", "tiny", "--to", *MACS) == 0
    first = await begun(live, "n1")
    live.clock.now += 5.0
    await first.send(Events(events=(progress(2, 0.5, 5.0),)))
    second = await begun(live, "n3")
    capsys.readouterr()
    assert await live.command("status") == 0
    shown = capsys.readouterr().out
    assert "site test: boot http://" in shown
    assert "  tiny:1 to 1 node, runs: " in shown
    assert "\n  5.0 s, 1.25 x node link: node link 4.0 s, processor 1.2 s, disk 1.0 s" in shown

    live.clock.now += 4.0
    await second.send(Events(events=(progress(2, 0.5, 4.0),)))
    live.clock.now += 5.0
    await second.send(Events(events=(progress(3, 1.0, 9.0), DONE)))
    await first.send(Events(events=(progress(3, 1.0, 10.0), DONE)))
    for api in (first, second):
        await api.close()
    assert await live.command("status", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    assert (told["nodes"], told["running"], told["seconds"]) == (["n1", "n3"], False, 14.0)
    # The second could not be served before the thirteenth second.
    assert (told["limit"]["bound"], told["limit"]["resource"]) == (13.0, "node link")

    assert await live.command("node", "show", "n3") == 0
    shown = capsys.readouterr().out
    assert "its last fetch: 9.0 s, 1.12 x node link: node link 8.0 s, processor 2.2 s" in shown
    with closing(Store(live.paths.database)) as store:
        (kept,) = [d for d in store.deployments() if d.node == "n3"]
    assert kept.out == 0.5
    assert str(node_limit(kept)) == "1.12 x node link"


def test_the_link_of_the_server_is_what_its_nic_and_the_cap_allow() -> None:
    capped = Swarm(seeder_rate="1MB")
    assert uplink(Settings(name="s", address=ADDRESS)) == 0
    assert uplink(Settings(name="s", address=ADDRESS, swarm=capped)) == 10**6
    # What other seeders have is for them to know.
    tier = Swarm(seeder_rate="1MB", seeders=(FurtherSeeder(address="127.0.0.2"),))
    assert uplink(Settings(name="s", address=ADDRESS, swarm=tier)) == 0
