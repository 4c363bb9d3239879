# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes lent for a time: deployed as they are wanted, and at the end back to their pool's image.

Which image that is says `image` of the node, or of its groups.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from swarmstrap.errors import BadInput, Refused, SwarmstrapError
from swarmstrap_server.control.deployments import Deployments, clock_time
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.names import split
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.rollouts.values import NewReservation, Order, Reservation
from swarmstrap_server.site import ranges
from swarmstrap_server.site.yamlfile import nearest

log = logging.getLogger(__name__)

# A node that cannot be returned, because somebody deploys it now, is asked for again.
AGAIN_SECONDS = 60.0
_ID_BYTES = 4
_LATEST = 100


class Reservations:
    """Those that have not ended are looked at by `tick`; all are in the database."""

    def __init__(self, deployments: Deployments, rollouts: Rollouts) -> None:
        self._deployments = deployments
        self._rollouts = rollouts

    def reserve(self, new: NewReservation, by: str) -> Reservation:
        """Deploys at once. Raises BadInput for nodes with no image to return to and a time that is
        past, Refused for nodes that are reserved; and as `Rollouts.start` does.
        """
        now = self._deployments.clock()
        if new.until <= now:
            raise BadInput(f"{clock_time(new.until)} is past", hint="say when it ends")
        planned = self._rollouts.plan(new.order)
        nodes = tuple(member.node for member in planned.members)
        self._check_free(nodes)
        self._pools(nodes)
        rollout = self._rollouts.start(new.order)
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
        self._save(made)
        return made

    def end(self, key: str) -> Reservation:
        """Before its time; raises BadInput when there is none that runs."""
        running = {one.id: one for one in self._running()}
        if key not in running:
            near = nearest(key, list(running))
            raise BadInput(f"no reservation {key!r} is running{near}", hint="see reservation ls")
        return self._return(replace(running[key], until=self._deployments.clock()))

    def latest(self) -> list[Reservation]:
        """Newest first."""
        return self._read("ORDER BY begins DESC LIMIT ?", _LATEST)

    def tick(self) -> None:
        """Returns what is due; to be called every few seconds."""
        now = self._deployments.clock()
        for one in self._running():
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
                returns.append(self._rollouts.start(_back(one.order, image, nodes)).id)
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
        self._save(after)
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

    def _check_free(self, nodes: Sequence[str]) -> None:
        for other in self._running():
            both = [node for node in nodes if node in other.nodes]
            if both:
                until = clock_time(other.until)
                raise Refused(
                    f"{ranges.fold(both)} is reserved by {other.by} until {until}",
                    hint=f"wait, or end it: swarmstrap reservation end {other.id}",
                )

    def _running(self) -> list[Reservation]:
        return self._read("WHERE ended IS NULL ORDER BY until")

    def _read(self, clause: str, *values: int) -> list[Reservation]:
        rows = self._deployments.store.execute(f"SELECT body FROM reservations {clause}", *values)
        return [msgspec.json.decode(body, type=Reservation) for (body,) in rows.fetchall()]

    def _save(self, one: Reservation) -> None:
        self._deployments.store.execute(
            "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?)",
            one.id,
            one.begins,
            one.until,
            one.ended,
            msgspec.json.encode(one),
        )


def _back(order: Order, image: str, nodes: tuple[str, ...]) -> Order:
    """To the pool's image as the site says, at the pace of the reservation itself."""
    name, version = split(image)
    return replace(order, arm=Arm(nodes=nodes, image=name, version=version or ""))
