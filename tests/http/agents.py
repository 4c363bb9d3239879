# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent that has a job, what it says, and what the server noted of it."""

from tests.http.conftest import MAC, Live, register

from swarmstrap import wire
from swarmstrap.effects.http import NodeApi
from swarmstrap.wire import Event
from swarmstrap_server.control.operator_wire import Arm

OTHER_MAC = "52:54:00:00:00:03"


def arm(live: Live, *nodes: str, minutes: int = 30) -> None:
    live.services.deployments.arm(Arm(nodes=nodes, image="tiny", minutes=minutes))


async def begin(live: Live, node: str = "n1", mac: str = MAC) -> tuple[NodeApi, wire.Job]:
    """An agent that has the job of `node`."""
    arm(live, node)
    api = NodeApi(live.node, live.paths.ca_certificate, retrying=lambda *_: None)
    registered = await api.register(register(mac), patience=0)
    return api, await api.job(registered.token, patience=0)


def notes(live: Live, node: str = "n1") -> list[str]:
    return [record.event.name for record in live.services.deployments.store.events(node)]


def start(sequence: int, name: str) -> Event:
    return Event(sequence=sequence, time=100.0 + sequence, kind="start", name=name)


def finish(sequence: int, name: str, **more: str) -> Event:
    return Event(
        sequence=sequence,
        time=100.0 + sequence,
        kind="finish",
        name=name,
        result=more.get("result", "success"),  # type: ignore[arg-type]
        description=more.get("description", ""),
        hint=more.get("hint", ""),
    )
