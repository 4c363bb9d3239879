# SPDX-License-Identifier: GPL-2.0-or-later
"""`/nodes`: what the site says of each, what was seen of it and what it said."""

from typing import Annotated

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.wire import Unheard
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.control import history, unheard, views
from swarmstrap_server.control.nodes import State
from swarmstrap_server.control.operator_wire import (
    Added,
    EventsPage,
    NodeDocument,
    NodesPage,
    NodeView,
)
from swarmstrap_server.site.reading import Site


class NodesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`after` is the `next` of the page before."""

    state: State | None = None
    group: str = ""
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`after` is the `id` of an event."""

    after: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200


async def list_nodes(call: Call) -> NodesPage:
    query = call.query(NodesQuery)
    deployments = call.services.deployments
    found: list[NodeView] = []
    for name in views.node_names(deployments.site, deployments.store):
        if name <= query.after:
            continue
        if len(found) == query.limit:
            return NodesPage(items=tuple(found), next=found[-1].name)
        view = deployments.view(name)
        if query.state in (None, view.state) and query.group in ("", *view.groups):
            found.append(view)
    return NodesPage(items=tuple(found))


async def show_node(call: Call) -> NodeDocument:
    deployments = call.services.deployments
    return views.node_document(deployments.site, deployments.store, known(call, deployments.site))


async def list_events(call: Call) -> EventsPage:
    deployments, query = call.services.deployments, call.query(EventsQuery)
    store, name = deployments.store, known(call, deployments.site)
    found = history.events_after(store, query.after, query.limit + 1, node=name)
    shown = tuple(found[: query.limit])
    return EventsPage(items=shown, next=str(shown[-1].id) if len(found) > len(shown) else "")


async def add_events(call: Call) -> Added:
    deployments, told = call.services.deployments, await call.body(Unheard)
    return unheard.add(deployments, known(call, deployments.site), told, by=call.principal.name)


def known(call: Call, site: Site) -> str:
    """The node that the path names; raises NotFound."""
    try:
        return views.known(site, call.services.deployments.store, call.part("node"))
    except BadInput as error:
        raise NotFound(error.message, hint="see /nodes") from error


ROUTES = (
    Route("GET", "/nodes", "viewer", "Nodes, by name", list_nodes, NodesPage, query=NodesQuery),
    Route(
        "GET",
        "/nodes/{node}",
        "viewer",
        "One node: hardware, plan and last events",
        show_node,
        NodeDocument,
    ),
    Route(
        "GET",
        "/nodes/{node}/events",
        "viewer",
        "What a node said and what was said of it, oldest first",
        list_events,
        EventsPage,
        query=EventsQuery,
    ),
    Route(
        "POST",
        "/nodes/{node}/events",
        "operator",
        "Bring what a node could not tell: those that are known are left out",
        add_events,
        Added,
        body=Unheard,
    ),
)
