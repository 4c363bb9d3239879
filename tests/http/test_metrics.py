# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that Prometheus reads, and the dashboard whose every expression names what is on it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.http.agents import OTHER_MAC, begin
from tests.http.conftest import Live

from swarmstrap.wire import Event, Events

DOCS = Path(__file__).parents[2] / "docs"
GRAFANA = DOCS / "grafana" / "swarmstrap.json"
NAME = re.compile(r"\b(?:swarmstrap|process)_[a-z_]+")


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(page: bytes, name: str, **labels: str) -> float:
    return samples(page)[name, tuple(sorted(labels.items()))]


async def deployed(live: Live) -> None:
    """n1 is deployed, in ten seconds of which it spent four on its disks."""
    api, _ = await begin(live)
    half = Event(
        sequence=3,
        time=6.0,
        kind="progress",
        name="do/image/2",
        progress=0.5,
        from_seeder=100,
        from_peers=300,
    )
    await api.send(
        Events(
            events=(
                Event(sequence=1, time=1.0, kind="start", name="do/disks/1"),
                Event(sequence=2, time=5.0, kind="finish", name="do/disks/1", result="success"),
                half,
            )
        )
    )
    live.clock.now += 10.0
    done = Event(sequence=4, time=10.0, kind="finish", name="do/finish/3", result="success")
    await api.send(Events(events=(done,)))
    await api.close()
    live.services.upkeep.tick()


async def test_what_the_page_says_of_a_deployment(live: Live) -> None:
    await deployed(live)
    page = live.services.metrics.page()
    assert value(page, "swarmstrap_nodes", state="deployed") == 1
    assert value(page, "swarmstrap_nodes", state="ready") == 2
    assert value(page, "swarmstrap_events_total") == 4
    assert value(page, "swarmstrap_event_batches_total") == 2
    assert value(page, "swarmstrap_received_bytes_total", source="peers") == 300
    assert value(page, "swarmstrap_deployments_ended_total", result="deployed") == 1
    assert value(page, "swarmstrap_deployment_seconds_sum", result="deployed") == 10
    assert value(page, "swarmstrap_phase_seconds_sum", phase="disks") == 4
    assert value(page, "swarmstrap_seeder_up") == 0
    events = {"method": "POST", "route": "/v1/events", "status": "200"}
    assert value(page, "swarmstrap_http_request_seconds_count", **events) == 2


async def test_nobody_reads_it_without_a_token(live: Live) -> None:
    ports = live.services.deployments.site.settings.ports
    url = f"https://127.0.0.1:{ports.operator}/metrics"
    assert (await live.http.get(url)).status == 401
    token = live.services.access.add("prometheus", "viewer", None)
    answer = await live.http.get(url, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert value(await answer.read(), "swarmstrap_nodes", state="ready") == 3


async def test_nodes_have_series_of_their_own_when_the_site_wants_it(live: Live) -> None:
    assert b"node_info" not in live.services.metrics.page()
    with live.paths.settings.open("a") as settings:
        settings.write("metrics: {per_node: true}\n")
    live.services.deployments.roster.reload()
    api, _ = await begin(live)
    await api.close()
    page = live.services.metrics.page()
    assert value(page, "swarmstrap_node_info", node="n1", state="deploying") == 1
    assert value(page, "swarmstrap_node_image_ratio", node="n1") == 0


def expressions(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, inner in part.items():
            if key in ("expr", "query", "definition") and isinstance(inner, str):
                yield inner
            yield from expressions(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from expressions(inner)


@pytest.fixture
async def names(live: Live) -> set[str]:
    with live.paths.settings.open("a") as settings:
        settings.write("metrics: {per_node: true}\n")
    live.services.deployments.roster.reload()
    await deployed(live)
    api, _ = await begin(live, "n3", OTHER_MAC)
    await api.close()
    live.services.metrics.deliveries.labels("delivered").inc()
    families = text_string_to_metric_families(live.services.metrics.page().decode())
    # Each metric says when its counting began, which nobody is shown.
    found = {sample.name for family in families for sample in family.samples}
    return {name for name in found if not name.endswith("_created")}


async def test_every_expression_of_the_dashboard_names_what_is_there(names: set[str]) -> None:
    used = {
        name for text in expressions(json.loads(GRAFANA.read_text())) for name in NAME.findall(text)
    }
    assert len(used) > 15
    assert used <= names


async def test_the_page_of_metrics_names_them_all_and_no_other(names: set[str]) -> None:
    families = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in names}
    ours = {name for name in families if name.startswith("swarmstrap_")}
    text = (DOCS / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(swarmstrap_[a-z_]+)", text, re.MULTILINE)) == ours
