# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries rollouts out: arms, switches, looks what became of it, and keeps all of that."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from swarmstrap.errors import BadInput, Refused, SwarmstrapError
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.power.switchboard import Switchboard
from swarmstrap_server.rollouts import machine
from swarmstrap_server.rollouts.keeping import Kept
from swarmstrap_server.rollouts.lending import Lent
from swarmstrap_server.rollouts.machine import Start, TakeBack
from swarmstrap_server.rollouts.values import Member, Order, Rollout, RolloutSummary
from swarmstrap_server.site.yamlfile import nearest

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_ID_BYTES = 4


class Rollouts:
    """Those under way are here, all of them in the database: a server that starts goes on with
    what the one before it had begun.
    """

    def __init__(self, deployments: Deployments, switchboard: Switchboard) -> None:
        self._deployments = deployments
        self._switchboard = switchboard
        self._kept = Kept(deployments.store)
        self.lent = Lent(deployments.store)
        self._switching: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._recall()
        deployments.roster.renamed.append(self._recall)
        for rollout in list(self._live.values()):
            now = deployments.clock()
            self._put(machine.interrupted(rollout, self._seen(rollout), now))

    def _recall(self) -> None:
        self._live = {rollout.id: rollout for rollout in self._kept.under_way()}

    # What operators ask for

    def plan(self, order: Order, by: str) -> Rollout:
        """The rollout that `start` would begin, with no identifier; raises what that raises."""
        now = self._deployments.clock()
        self._deployments.roster.reload()
        would = self._deployments.would_arm(order.arm)
        nodes = tuple(deployment.node for deployment in would)
        self.lent.check_free(nodes, by)
        exact = replace(order, arm=replace(order.arm, nodes=nodes, version=would[0].version))
        members = tuple(
            Member(node=node, switched=order.power and self._switchboard.switches(node), since=now)
            for node in nodes
        )
        return Rollout(id="", by=by, order=exact, created=now, members=members)

    def start(self, order: Order, by: str) -> Rollout:
        """Begins at once, for `by`; raises BadInput or Refused, with nothing done, when a node
        cannot be armed, or is reserved by another.
        """
        rollout = replace(self.plan(order, by), id=secrets.token_hex(_ID_BYTES))
        self._put(rollout)
        log.info("rollout %s: %s, by %s", rollout.id, rollout.title, by)
        self._advance(rollout)
        return self.rollout(rollout.id)

    def cancel(self, key: str) -> Rollout:
        """Nobody else begins. Raises Refused when it has ended already."""
        rollout = self.rollout(key)
        if rollout.ended is not None:
            raise Refused(f"rollout {key} has ended", hint="see swarmstrap rollout show")
        self._put(machine.cancelled(rollout))
        self._advance(self._live[key])
        return self.rollout(key)

    def retry(self, key: str, by: str) -> Rollout:
        """A new rollout of those that failed; raises Refused when nobody did."""
        rollout = self.rollout(key)
        failed = tuple(member.node for member in rollout.failed)
        if rollout.ended is None or not failed:
            what, hint = "has nobody who failed", f"see swarmstrap rollout show {key}"
            if rollout.ended is None:
                what, hint = "has not ended", f"wait, or swarmstrap rollout cancel {key} first"
            raise Refused(f"rollout {key} {what}", hint=hint)
        order = rollout.order
        return self.start(replace(order, arm=replace(order.arm, nodes=failed)), by)

    def rollout(self, key: str) -> Rollout:
        """Raises BadInput when there is none."""
        found = self._live.get(key) or self._kept.rollout(key)
        if found is None:
            known = [rollout.id for rollout in self.summaries(100)]
            raise BadInput(f"no rollout {key!r}{nearest(key, known)}", hint="see rollout ls")
        return found

    def summaries(self, limit: int, after: str = "") -> list[RolloutSummary]:
        """Newest first, from the one that follows `after`."""
        return self._kept.summaries(limit, after)

    def ended_since(self, since: float) -> set[str]:
        """The identifiers of those that ended at `since` or later."""
        return self._kept.ended_since(since)

    def latest_of(self, node: str) -> Rollout | None:
        return self._kept.latest_of(node)

    # What happens by itself

    async def run(self) -> None:
        """Until it is cancelled; then nothing is switched any more."""
        try:
            while True:
                self._wake.clear()
                self.tick()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_SECONDS):
                        await self._wake.wait()
        finally:
            for task in self._switching.values():
                task.cancel()
            await asyncio.gather(*self._switching.values(), return_exceptions=True)

    def tick(self) -> None:
        for key in list(self._live):
            # One before it may have read the site, and a node may have another name by now.
            if key in self._live:
                self._advance(self._live[key])

    def _advance(self, before: Rollout) -> None:
        now = self._deployments.clock()
        rollout, actions = machine.advance(before, self._seen(before), now)
        self._put(rollout)
        self._note_changes(before, rollout)
        for action in actions:
            if isinstance(action, TakeBack):
                self._deployments.give_up(
                    action.deployment, action.reason, action.hint, failed=action.failed
                )
        self._forget_switching(rollout)
        starting = [action.node for action in actions if isinstance(action, Start)]
        if starting:
            self._start(rollout.id, starting)
        if rollout.ended is not None:
            good = len(rollout.members) - len(rollout.failed)
            log.info("rollout %s ended: %d of %d", rollout.id, good, len(rollout.members))

    def _start(self, key: str, nodes: Sequence[str]) -> None:
        members = self._live[key].members
        armed = self._arm(key, [place for place, m in enumerate(members) if m.node in nodes])
        self._change(key, lambda rollout: machine.armed(rollout, armed))
        switched = {m.node for m in self._live[key].members if m.switched}
        for deployment in armed:
            if deployment.node in switched:
                task = asyncio.ensure_future(self._switch(key, deployment))
                self._switching[key, deployment.id] = task
                task.add_done_callback(partial(self._switched, (key, deployment.id)))

    def _arm(self, key: str, places: Sequence[int]) -> list[Deployment]:
        """Those that could be; one that cannot is no reason to leave the others. Members go by
        their places: arming reads the site, which may call them otherwise from then on.
        """
        nodes = self._nodes_at(key, places)
        rollout = self._live[key]
        order = replace(rollout.order.arm, nodes=nodes)
        try:
            return self._deployments.arm(order, by=rollout.by, rollout=key)
        except SwarmstrapError as error:
            if len(places) > 1:
                return [one for place in places for one in self._arm(key, [place])]
            if self._nodes_at(key, places) != nodes:
                return self._arm(key, places)
            self._fail(key, nodes[0], error, final=True)
            return []

    def _nodes_at(self, key: str, places: Sequence[int]) -> tuple[str, ...]:
        return tuple(self._live[key].members[place].node for place in places)

    async def _switch(self, key: str, deployment: Deployment) -> None:
        """The node may get another name before, and meanwhile."""
        try:
            await self._switchboard.start(self._deployments.current(deployment).node)
        except SwarmstrapError as error:
            node = self._deployments.current(deployment).node
            self._fail(key, node, error, final=isinstance(error, BadInput | Refused))
            return
        now = self._deployments.clock()
        node = self._deployments.current(deployment).node
        kind = self._switchboard.kind(node)
        self._deployments.feed.note(node, "power", f"switched on by {kind}", now)
        self._change(key, lambda rollout: machine.switched(rollout, node, now))

    def _switched(self, at: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._switching.get(at) is task:
            del self._switching[at]
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("switching for %s failed", at[1], exc_info=task.exception())

    def _fail(self, key: str, node: str, error: SwarmstrapError, *, final: bool) -> None:
        now, text, hint = self._deployments.clock(), error.message, error.hint
        self._change(
            key, lambda r: machine.not_started(r, node, now, text, hint, final=final), tell=True
        )

    def _forget_switching(self, rollout: Rollout) -> None:
        """A node that came by itself, or was given up, is not switched under its feet."""
        awaited = {m.deployment for m in rollout.members if m.state == "powering"}
        for (key, deployment), task in self._switching.items():
            if key == rollout.id and deployment not in awaited:
                task.cancel()

    def _note_changes(self, before: Rollout, after: Rollout) -> None:
        """What went wrong with a node is said where its events are."""
        now = self._deployments.clock()
        for old, new in zip(before.members, after.members, strict=True):
            if new.reason and new.state in ("waiting", "failed", "cancelled") and new != old:
                again = ", and is tried again" if new.state == "waiting" else ""
                said = f"rollout {after.id}: {new.reason}{again}"
                failed = new.state == "failed"
                self._deployments.feed.note(
                    new.node, "rollout", said, now, failed=failed, hint=new.hint
                )

    def _change(
        self, key: str, change: Callable[[Rollout], Rollout], *, tell: bool = False
    ) -> None:
        before = self._live.get(key)
        if before is None:
            return
        after = change(before)
        self._put(after)
        if tell:
            self._note_changes(before, after)

    def _put(self, rollout: Rollout) -> None:
        before = self._live.get(rollout.id)
        if rollout == before and rollout.ended is None:
            return
        with self._deployments.store.transaction():
            self._kept.save(rollout, before)
        if rollout.ended is None:
            self._live[rollout.id] = rollout
        else:
            self._live.pop(rollout.id, None)

    def _seen(self, rollout: Rollout) -> dict[str, Deployment]:
        members = rollout.members
        wanted = {m.deployment for m in members if m.deployment and m.state != "deployed"}
        found = map(self._deployments.store.deployment, wanted)
        return {one.id: one for one in found if one is not None}
