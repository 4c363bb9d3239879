# SPDX-License-Identifier: GPL-2.0-or-later
"""Deployments and nodes, of which a test says what matters to it."""

from msgspec.structs import replace

from swarmstrap_server.control.nodes import Deployment, State
from swarmstrap_server.control.operator_wire import NodeView


def deployment(key: str, node: str, armed_at: float, **words: object) -> Deployment:
    """Armed for a minute, but for what `words` say."""
    armed = Deployment(
        id=key,
        node=node,
        image="debian",
        version="1",
        infohash="00",
        payload=1,
        layout="default",
        finish="reboot",
        armed_at=armed_at,
        until=armed_at + 60,
    )
    return replace(armed, **words)


def node_view(name: str, state: State, latest: Deployment | None = None) -> NodeView:
    return NodeView(
        name=name,
        state=state,
        in_site=state != "discovered",
        uuid="",
        macs=(),
        address="",
        seen=None,
        has_inventory=False,
        deployment=latest,
    )
