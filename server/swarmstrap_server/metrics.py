# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server counts, in the words of Prometheus. docs/metrics.md explains each.

Counts and times are taken as things happen; all the rest is read when somebody asks.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import Counter as Count
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from swarmstrap import __version__
from swarmstrap_server.control.nodes import Deployment, State, node_state
from swarmstrap_server.control.views import node_names

if TYPE_CHECKING:
    from swarmstrap_server.app import Services

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds. An answer takes some milliseconds, a phase some seconds, a deployment some minutes.
_ANSWER = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_PHASE = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800)
_DEPLOYMENT = (30, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1800, 3600)


class Metrics:
    """One registry a server. `deliveries` counts tries of webhooks, by what came of them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._answers = Histogram(
            "swarmstrap_http_request_seconds",
            "From the head of a request to its answer",
            ("method", "route", "status"),
            buckets=_ANSWER,
            registry=self._registry,
        )
        self._phases = Histogram(
            "swarmstrap_phase_seconds",
            "What nodes spent in a phase of their deployment",
            ("phase",),
            buckets=_PHASE,
            registry=self._registry,
        )
        self._deployments = Histogram(
            "swarmstrap_deployment_seconds",
            "From the job to the end of a deployment",
            ("result",),
            buckets=_DEPLOYMENT,
            registry=self._registry,
        )
        self._ended = Count(
            "swarmstrap_deployments_ended",
            "Deployments that came to an end",
            ("result",),
            registry=self._registry,
        )
        self.deliveries = Count(
            "swarmstrap_webhook_deliveries",
            "Tries to deliver a webhook",
            ("result",),
            registry=self._registry,
        )

    def watch(self, services: "Services") -> None:
        """From now on the page has what these say, too."""
        self._registry.register(_State(services))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._answers.labels(method, route, str(status)).observe(seconds)

    def ended(self, deployments: Sequence[Deployment]) -> None:
        for deployment in deployments:
            self._ended.labels(deployment.state).inc()
            if deployment.started is None or deployment.ended is None:
                continue
            seconds = deployment.ended - deployment.started
            self._deployments.labels(deployment.state).observe(seconds)
            for phase, spent in deployment.phases.items():
                self._phases.labels(phase).observe(spent)

    def page(self) -> bytes:
        return generate_latest(self._registry)


class _State(Collector):
    """What is so now. A node has no series of its own unless the site asks for it."""

    def __init__(self, services: "Services") -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Empty: to collect just for the names would read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _gauge("swarmstrap_info", "1, and what runs", 1, version=__version__)
        yield from self._nodes()
        yield from self._events()
        yield from self._swarm()
        yield from self._machinery()

    def _nodes(self) -> Iterator[Metric]:
        deployments = self._services.deployments
        site, latest = deployments.site, deployments.store.latest_deployments()
        states = {
            name: node_state(name in site.nodes, latest.get(name))
            for name in node_names(site, deployments.store)
        }
        count = Counter(states.values())
        nodes = GaugeMetricFamily("swarmstrap_nodes", "Nodes by their state", labels=("state",))
        for state in get_args(State):
            nodes.add_metric((state,), count[state])
        yield nodes
        active = deployments.store.active()
        phases = GaugeMetricFamily(
            "swarmstrap_deploying_nodes", "Nodes at work by phase", labels=("phase",)
        )
        for phase, nodes_in_it in sorted(Counter(d.phase for d in active).items()):
            phases.add_metric((phase,), nodes_in_it)
        yield phases
        if site.settings.metrics.per_node:
            yield from _each(states, {d.node: d for d in active})

    def _events(self) -> Iterator[Metric]:
        feed = self._services.deployments.feed
        counters = feed.counters
        yield _count("swarmstrap_events", "Events taken from nodes", counters.events)
        yield _count("swarmstrap_event_batches", "Batches of events", counters.batches)
        yield _count("swarmstrap_events_repeated", "Events that came again", counters.repeated)
        yield _count(
            "swarmstrap_event_batches_behind", "Batches sent again after a gap", counters.behind
        )
        yield _count("swarmstrap_events_lost", "Gaps that nobody can fill", counters.lost)
        yield _gauge(
            "swarmstrap_event_pause_seconds", "How long nodes let progress wait", feed.pause
        )
        yield _gauge("swarmstrap_stream_listeners", "Streams that are open", feed.listeners)
        yield _count(
            "swarmstrap_stream_listeners_cut_off", "Streams that were too slow", counters.cut_off
        )

    def _swarm(self) -> Iterator[Metric]:
        services, counters = self._services, self._services.deployments.feed.counters
        tracker, seeding = services.tracker, services.seeding
        received = CounterMetricFamily(
            "swarmstrap_received_bytes",
            "Payload that nodes received, by where it came from",
            labels=("source",),
        )
        received.add_metric(("seeder",), counters.from_seeder)
        received.add_metric(("peers",), counters.from_peers)
        yield received
        yield _gauge("swarmstrap_seeder_up", "Whether the seeder runs", seeding.pid is not None)
        yield _count("swarmstrap_seeder_sent_bytes", "Payload the seeder sent", seeding.uploaded)
        yield _gauge("swarmstrap_seeder_peers", "Peers of the seeder", seeding.report.peers)
        yield _gauge("swarmstrap_swarm_peers", "Peers that the tracker knows", tracker.peers)
        yield _count("swarmstrap_announces", "Announces", tracker.counters.announces)
        yield _count("swarmstrap_announces_refused", "Announces refused", tracker.counters.refused)

    def _machinery(self) -> Iterator[Metric]:
        services = self._services
        yield _gauge("swarmstrap_images", "Images that are published", len(services.published))
        yield _gauge(
            "swarmstrap_webhooks_pending", "Webhooks to be delivered", services.webhooks.pending
        )
        database = services.deployments.site.paths.database
        yield _gauge("swarmstrap_database_bytes", "Its file", database.stat().st_size)


def _each(states: dict[str, State], active: dict[str, Deployment]) -> Iterator[Metric]:
    info = GaugeMetricFamily("swarmstrap_node_info", "1, and its state", labels=("node", "state"))
    for name, state in states.items():
        info.add_metric((name, state), 1)
    yield info
    progress = GaugeMetricFamily(
        "swarmstrap_node_image_ratio", "Part of the image that it has", labels=("node",)
    )
    for name, deployment in active.items():
        progress.add_metric((name,), 1.0 if deployment.fetched else deployment.progress or 0.0)
    yield progress


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
