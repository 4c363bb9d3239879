# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand nodes in the middle of their deployment, written into a real store."""

import dataclasses
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from msgspec.structs import replace
from tests.http.conftest import Live
from tests.http.simulated.courses import PAYLOAD, courses
from tests.http.simulated.machines import address, inventory, name

from swarmstrap_server.app import Services
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.identity import marks_of_inventory
from swarmstrap_server.control.jobs import new_deployment
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.store import SeenNode
from swarmstrap_server.rollouts.keeping import Kept
from swarmstrap_server.rollouts.values import Member, MemberState, Order, Rollout
from swarmstrap_server.swarm.seeder import Report
from swarmstrap_server.swarm.seeding import Seeding

OPERATOR = "night-shift"


def deploy(live: Live, nodes: int, seconds: float) -> None:
    """Has the store as it is `seconds` after `nodes` were ordered the newest image, when it then
    is, and the rates of all that time. Every sixteenth node is not part of it.
    """
    services, deployments = live.services, live.services.deployments
    ordered = live.clock.now
    _earlier(deployments, ordered - 3 * 86400, nodes)
    armed = dict(_armed(deployments, nodes, ordered))
    ways = dict(zip(armed, courses(len(armed)), strict=True))
    for step in range(2, int(seconds) + 1, 2):
        then = [way.at(armed[node], step) for node, way in ways.items()]
        services.rates.take([d for d in then if d.state == "active"], ordered + step)
    with deployments.store.transaction():
        for node, way in ways.items():
            deployments.store.save_deployment(way.at(armed[node], seconds))
    live.clock.now += seconds
    sent = sum(d.from_seeder for d in deployments.store.active())
    services.seeding = Sending(sent, services.rates.now.seeder)
    announce(services)


def rollout(services: Services) -> str:
    """The identifier of the rollout that from now on has armed what is under way."""
    store = services.deployments.store
    ours = store.armed_with(next(iter(store.active())).id)
    arm = Arm(nodes=tuple(d.node for d in ours), image=ours[0].image, version=ours[0].version)
    made = Rollout(
        id="4be1c27a",
        by=OPERATOR,
        order=Order(arm=arm),
        created=ours[0].armed_at,
        members=tuple(map(_member, ours)),
    )
    with store.transaction():
        Kept(store).save(made)
        for one in ours:
            store.save_deployment(replace(one, rollout=made.id))
    return made.id


def _member(deployment: Deployment) -> Member:
    states: dict[str, MemberState] = {"active": "deploying", "deployed": "deployed"}
    states |= {"failed": "failed", "armed": "booting"}
    return Member(
        node=deployment.node,
        switched=True,
        since=deployment.heard or deployment.armed_at,
        state=states[deployment.state],
        tries=1,
        deployment=deployment.id,
        reason=deployment.reason,
        hint=deployment.hint,
    )


class Sending(Seeding):
    """A seeder that has sent what the simulated nodes say they got from it."""

    def __init__(self, uploaded: int, rate: float) -> None:
        super().__init__("127.0.0.1", 0, 0, 0, ())
        self.report = Report(uploaded={"": uploaded}, rate=int(rate))

    @property
    def pid(self) -> int:
        return 1


def announce(services: Services) -> None:
    """Each node that is under way says to the tracker what it lacks, and how it is reached."""
    for number, deployment in enumerate(services.deployments.store.active(), start=1):
        where = address(number)
        services.members[where] = deployment.node
        infohash = quote_from_bytes(bytes.fromhex(deployment.infohash)[:20], safe="")
        left = int(PAYLOAD * (1.0 - (deployment.progress or 0.0)))
        services.tracker.announce(
            f"info_hash={infohash}&peer_id=-LT2110-{number:012}&port=6881&left={left}&compact=1",
            where,
        )


def _armed(deployments: Deployments, nodes: int, now: float) -> Iterator[tuple[str, Deployment]]:
    image = deployments.images.get("debian")
    for number in range(1, nodes + 1):
        node, it = name(number), inventory(number)
        if number % 160 == 0:
            continue
        seen = SeenNode(node, marks_of_inventory(it), address(number), now)
        deployments.store.save_node(seen, it)
        if number % 16 == 0:
            continue
        order = Arm(nodes=(node,), image="debian", minutes=120)
        made = new_deployment(deployments.site, image.manifest, order, node, now, None)
        yield node, replace(made, payload=PAYLOAD, by=OPERATOR)


def _earlier(deployments: Deployments, ordered: float, nodes: int) -> None:
    """A run of three days ago, that all went well, and a smaller one with an accident."""
    image = deployments.images.ls("debian")[0]
    for rack, (count, when) in enumerate(((nodes, 0.0), (nodes // 20, 90_000.0))):
        ways = courses(count, seed=rack)
        for number, way in enumerate(ways, start=1):
            node = name(number)
            order = Arm(nodes=(node,), image="debian", version=image.manifest.version)
            made = new_deployment(
                deployments.site, image.manifest, order, node, ordered + when, None
            )
            whole = dataclasses.replace(way, fails=way.fails if rack else None, stops=None)
            ended = whole.at(replace(made, payload=PAYLOAD, by=OPERATOR), 5000.0)
            deployments.store.save_deployment(ended)
