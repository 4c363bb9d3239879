# SPDX-License-Identifier: GPL-2.0-or-later
"""What each page shows: its template, the parts of it that change, and the values of both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from swarmstrap.errors import BadInput
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.app import Services
from swarmstrap_server.control.access import Principal
from swarmstrap_server.control.logs import newest_log
from swarmstrap_server.control.operator_wire import Role
from swarmstrap_server.dashboard.charts import area, ticks
from swarmstrap_server.dashboard.fleet import fleet
from swarmstrap_server.dashboard.images import images_page
from swarmstrap_server.dashboard.nodes import node_page
from swarmstrap_server.dashboard.reference import reference
from swarmstrap_server.dashboard.rollouts import history, rollout_page
from swarmstrap_server.dashboard.swarms import swarms
from swarmstrap_server.dashboard.timeline import timeline
from swarmstrap_server.dashboard.watch import Watch
from swarmstrap_server.images.torrents import piece_length

ACTING: Role = "operator"
_CHART = (900, 170)
_ROLLOUTS = 50
_MENU = (
    ("/", "Fleet"),
    ("/swarm", "Swarm"),
    ("/deployments", "Deployments"),
    ("/images", "Images"),
    ("/api/", "API"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page. `live` is where its stream is, empty for a page that stays
    as it is.
    """

    site: str
    page: str
    live: str = ""
    who: str = ""
    role: str = ""
    may_act: bool = False
    pages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a page: `part` is what varies in its path."""

    services: Services
    watch: Watch
    part: str
    query: Mapping[str, str]

    @property
    def now(self) -> float:
        return self.services.deployments.clock()


Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """`parts` maps the names of what changes to their templates; `seconds` is how often at most."""

    path: str
    template: str
    values: Callable[[Look], Values]
    parts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float = 1.0


def frame_of(services: Services, principal: Principal, page: str, live: str) -> Frame:
    paths = [path for path, _ in _MENU]
    above = page.partition("{")[0].rstrip("/").replace("/rollouts", "/deployments")
    return Frame(
        site=services.deployments.site.settings.name,
        page=page if page in paths else above if above in paths else "/",
        live=live,
        who=principal.name,
        role=principal.role,
        may_act=principal.may(ACTING),
        pages=_MENU,
    )


def _fleet(look: Look) -> Values:
    nodes = look.watch.nodes
    chosen = frozenset(look.query.get("state", "").split(","))
    return {
        "fleet": fleet(nodes.values(), look.watch.groups_of, look.now),
        "pressed": chosen,
        "switched": any(map(look.services.switchboard.switches, look.watch.nodes)),
        "swarms": _swarms(look),
        "unheard": look.services.webhooks.unheard(),
    }


def _node(look: Look) -> Values:
    view = look.watch.nodes.get(look.part)
    if view is None:
        raise NotFound(f"there is no node {look.part}", hint="the fleet shows all there are")
    store, latest = look.services.deployments.store, view.deployment
    page = node_page(
        view,
        look.watch.groups_of(look.part),
        store.inventory(look.part),
        store.plan(latest.id) if latest else None,
        store.events(look.part),
        store.deployments_of(look.part),
        look.watch.rates.of(latest.id) if latest else None,
        look.now,
    )
    return {"node": page, "switched": look.services.switchboard.switches(look.part)}


def _swarm(look: Look) -> Values:
    rates = look.watch.rates
    width, height = _CHART
    return {
        "seeding": look.services.seeding,
        "peers": look.services.tracker.peers,
        "runs": look.watch.runs(look.now),
        "swarms": _swarms(look),
        "rate": rates.now,
        "area": area(tuple(rates.samples), look.now, width=width, height=height),
        "ticks": ticks(width=width),
    }


def _swarms(look: Look) -> object:
    return swarms(look.services.deployments.store.active(), look.watch.rates, piece_length)


def _deployments(look: Look) -> Values:
    services = look.services
    page = history(
        services.reservations.lent.running(),
        services.rollouts.summaries(_ROLLOUTS),
        services.deployments.store.deployments(),
        look.now,
    )
    return {"history": page}


def _deployment(look: Look) -> Values:
    together = look.services.deployments.store.armed_with(look.part)
    if not together:
        raise NotFound(f"there is no deployment {look.part}", hint="/deployments lists them")
    return {"timeline": timeline(together, look.now, whole="all" in look.query)}


def _rollout(look: Look) -> Values:
    try:
        rollout = look.services.rollouts.rollout(look.part)
    except BadInput as error:
        raise NotFound(error.message, hint="/deployments lists them") from error
    store = look.services.deployments.store
    found = (store.deployment(m.deployment) for m in rollout.members if m.deployment)
    armed = [deployment for deployment in found if deployment is not None]
    page = rollout_page(rollout, armed, look.now, whole="all" in look.query)
    return {"page": page, "timeline": page.timeline}


def _log(look: Look) -> Values:
    found = newest_log(look.services.deployments.store, look.part)
    if found is None:
        raise NotFound(f"{look.part} left no log here", hint="nodes leave theirs at their end")
    return {"node": look.part, "log": found}


def _images(look: Look) -> Values:
    paths = look.services.deployments.site.paths
    latest = [view.deployment for view in look.watch.nodes.values() if view.deployment]
    return {"images": images_page(look.services.images, paths.signers, latest)}


PAGES = (
    Page(
        "/",
        "fleet.html",
        _fleet,
        {name: f"parts/{name}.html" for name in ("counts", "runs", "troubles")},
    ),
    Page(
        "/nodes/{part}",
        "node.html",
        _node,
        {"now": "parts/node_now.html", "events": "parts/events.html"},
    ),
    Page("/swarm", "swarm.html", _swarm, {"swarm": "parts/swarm_now.html"}, seconds=2.0),
    Page(
        "/deployments",
        "deployments.html",
        _deployments,
        {"history": "parts/batches.html"},
        seconds=5.0,
    ),
    Page(
        "/deployments/{part}",
        "deployment.html",
        _deployment,
        {"timeline": "parts/timeline.html"},
        seconds=2.0,
    ),
    Page(
        "/rollouts/{part}",
        "rollout.html",
        _rollout,
        {"rollout": "parts/rollout.html"},
        seconds=2.0,
    ),
    Page("/nodes/{part}/log", "log.html", _log),
    Page("/images", "images.html", _images),
    Page("/api/", "reference.html", lambda _: {"reference": reference()}),
)
