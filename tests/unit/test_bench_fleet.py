# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated fleet says what an agent says, and its count of lost events counts."""

from contextlib import closing
from pathlib import Path

from msgspec.structs import replace
from tests.bench.fleet.script import Script
from tests.bench.fleet.server import lost
from tests.unit.making import deployment

from swarmstrap_server.control.nodes import after_event, started
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.paths import SitePaths

PAYLOAD = 1_000_000


def test_what_a_node_says_deploys_it() -> None:
    moments = list(Script(PAYLOAD, fetch=10.0, began=100.0).moments())
    assert [moment.event.sequence for moment in moments] == list(range(1, len(moments) + 1))
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    now = started(deployment("d", "n1", 1.0), 100.0)
    for moment in moments:
        now = after_event(now, moment.event, 100.0 + moment.at)
    assert now.state == "deployed"
    assert now.from_seeder + now.from_peers == PAYLOAD
    assert 10.0 <= now.phases["image"] < 11.0


def test_what_is_lost_or_doubled_is_seen(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    events = [moment.event for moment in Script(PAYLOAD, fetch=2.0, began=0.0).moments()]
    kept = [event for event in events if event.kind != "progress"]
    with closing(Store(paths.database)) as store:
        for event in (*kept[:-1], kept[0], replace(kept[0], sequence=0)):
            store.add_event("n1", event, 0.0)
    assert lost(paths, {"n1": len(kept)}) == (1, 1)
    assert lost(paths, {"n1": len(kept), "n2": 3}) == (4, 1)
