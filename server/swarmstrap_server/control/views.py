# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes as an operator sees them: what the site says, and what was seen, in one."""

from swarmstrap.errors import BadInput
from swarmstrap_server.control.identity import marks_of_node
from swarmstrap_server.control.limits import Run, node_limit, runs
from swarmstrap_server.control.nodes import node_state
from swarmstrap_server.control.operator_wire import NodeDocument, NodeView
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.yamlfile import nearest

_RUNS = 10
_EVENTS = 20


def node_view(site: Site, store: Store, name: str) -> NodeView:
    """`name` need not have been seen, nor be in the site any more."""
    spec = site.nodes.get(name)
    seen = store.node(name)
    latest = store.latest_deployment(name)
    marks = seen.marks if seen else marks_of_node(spec) if spec else None
    return NodeView(
        name=name,
        state=node_state(spec is not None, latest),
        in_site=spec is not None,
        uuid=marks.uuid if marks else "",
        macs=tuple(sorted(marks.macs)) if marks else (),
        serial=marks.serial if marks else "",
        groups=spec.groups if spec else (),
        address=seen.address if seen else "",
        seen=seen.seen if seen else None,
        has_inventory=seen is not None,
        deployment=latest,
        limit=node_limit(latest) if latest else None,
    )


def node_document(site: Site, store: Store, name: str) -> NodeDocument:
    view = node_view(site, store, name)
    return NodeDocument(
        node=view,
        inventory=store.inventory(name),
        plan=store.plan(view.deployment.id) if view.deployment else None,
        events=tuple(store.events(name, limit=_EVENTS)),
    )


def node_names(site: Site, store: Store) -> list[str]:
    return sorted({*site.nodes, *(seen.name for seen in store.nodes())})


def known(site: Site, store: Store, name: str) -> str:
    """`name` itself, of a node of the site or of a machine that was seen; raises BadInput."""
    names = node_names(site, store)
    if name not in names:
        near = nearest(name, names)
        raise BadInput(f"there is no node {name!r}{near}", hint="see swarmstrap node ls")
    return name


def node_views(site: Site, store: Store) -> tuple[NodeView, ...]:
    return tuple(node_view(site, store, name) for name in node_names(site, store))


def latest_runs(store: Store) -> tuple[Run, ...]:
    """The last runs of all images, oldest first."""
    return tuple(runs(store.deployments("active", "deployed", "failed"))[-_RUNS:])
