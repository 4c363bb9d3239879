# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes lent for a time: deployed as they are wanted, and at the end back to their pool's image.

Which image that is says `image` of the node, or of its groups.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.names import split
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.rollouts.values import NewReservation, Order, Reservation
from swarmstrap_server.site.yamlfile import nearest
from swarmstrap_server.times import clock_time

log = logging.getLogger(__name__)

# A node that cannot be returned, because somebody deploys it now, is asked for again.
AGAIN_SECONDS = 60.0
_ID_BYTES = 4


class Reservations:
    """Those that have not ended are looked at by `tick`; all are in the database."""

    def __init__(self, deployments: Deployments, rollouts: Rollouts) -> None:
        self._deployments = deployments
        self._rollouts = rollouts
        self.lent = rollouts.lent

    def reserve(self, new: NewReservation, by: str) -> Reservation:
        """Deploys at once. Raises BadInput for nodes with no image to return to and a time that is
        past, Refused for nodes that are reserved; and as `Rollouts.start` does.
        """
        now = self._deployments.clock()
        if new.until <= now:
            raise BadInput(f"{clock_time(new.until)} is past", hint="say when it ends")
        planned = self._rollouts.plan(new.order, by)
        nodes = tuple(member.node for member in planned.members)
        self.lent.check_free(nodes)
        self._pools(nodes)
        rollout = self._rollouts.start(new.order, by)
        made = Reservation(
            id=secrets.token_hex(_ID_BYTES),
            by=by,
            nodes=nodes,
            order=rollout.order,
            rollout=rollout.id,
            begins=now,
            until=new.until,
            left=nodes,
        )
        self.lent.save(made)
        return made

    def end(self, key: str) -> Reservation:
        """Before its time; raises BadInput when there is none that runs."""
        running = {one.id: one for one in self.lent.running()}
        if key not in running:
            near = nearest(key, list(running))
            raise BadInput(f"no reservation {key!r} is running{near}", hint="see reservation ls")
        return self._return(replace(running[key], until=self._deployments.clock()))

    def tick(self) -> None:
        """Returns what is due; to be called every few seconds."""
        now = self._deployments.clock()
        for one in self.lent.running():
            if now >= one.until and now - (one.tried or 0.0) >= AGAIN_SECONDS:
                self._return(one)

    def _return(self, one: Reservation) -> Reservation:
        now = self._deployments.clock()
        left, returns, reasons = list(one.left), list(one.returns), []
        try:
            pools = self._pools(one.left)
        except BadInput as error:
            pools, reasons = {}, [error.message]
        for image, nodes in pools.items():
            try:
                back = _back(one.order, image, nodes)
                returns.append(self._rollouts.start(back, one.by).id)
            except SwarmstrapError as error:
                reasons.append(error.message)
            else:
                left = [node for node in left if node not in nodes]
        after = replace(
            one,
            left=tuple(left),
            returns=tuple(returns),
            tried=now,
            ended=None if left else now,
            reason="; ".join(reasons),
        )
        if reasons:
            log.warning("reservation %s cannot end: %s", one.id, after.reason)
        self.lent.save(after)
        return after

    def _pools(self, nodes: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """By the image that they return to; raises BadInput for a node that has none."""
        pools: dict[str, tuple[str, ...]] = {}
        site = self._deployments.site
        for node in nodes:
            image = site.nodes[node].image if node in site.nodes else ""
            if not image:
                raise BadInput(
                    f"node {node} has no image to return to",
                    hint="write image into its file, or into its group's",
                )
            pools[image] = (*pools.get(image, ()), node)
        return pools


def _back(order: Order, image: str, nodes: tuple[str, ...]) -> Order:
    """To the pool's image as the site says, at the pace of the reservation itself."""
    name, version = split(image)
    return replace(order, arm=Arm(nodes=nodes, image=name, version=version or ""))
