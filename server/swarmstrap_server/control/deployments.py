# SPDX-License-Identifier: GPL-2.0-or-later
"""From an operator's word to a node's job: arm, register, exchange a token.

An arming is for one installation. Whoever registers as an armed node gets a token; the token buys
the job, once, and the arming is gone with it, but for a node that loses its power on the way: it
may begin anew. Every refusal is an event of the node.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from swarmstrap.errors import Refused, SwarmstrapError, Untrusted
from swarmstrap.wire import Job, Register, Registered
from swarmstrap_server.control import sessions, views
from swarmstrap_server.control.admission import check_hooks, check_image, check_overlays
from swarmstrap_server.control.bearers import digest, new_secret
from swarmstrap_server.control.events import Feed
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.nodes import (
    ABSENCE_SECONDS,
    Deployment,
    DeploymentState,
    arm_again,
    expired,
    may_begin,
    silent,
    started,
)
from swarmstrap_server.control.operator_wire import Arm, NodeView
from swarmstrap_server.control.redeeming import (
    answered_before,
    check_redeemable,
    is_alive,
    token_ends,
    why_no_token,
)
from swarmstrap_server.control.roster import Roster
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.secrets import node_secrets
from swarmstrap_server.times import clock_time


class Deployments:
    """The one place that grants anything. `clock` gives seconds since 1970, `uplink` is the bytes
    a second of the link that images go out by, 0 when nobody knows.
    """

    def __init__(
        self,
        site: Site,
        store: Store,
        images: ImageStore,
        clock: Callable[[], float] = time.time,
        uplink: int = 0,
    ) -> None:
        self._uplink = uplink
        self.store = store
        self.images = images
        self.clock = clock
        self._since = clock()
        self.feed = Feed(store, self.view, self.grants)
        self.roster = Roster(site, store, self.feed, clock)

    @property
    def site(self) -> Site:
        return self.roster.site

    def view(self, node: str) -> NodeView:
        return views.node_view(self.site, self.store, node)

    def grants(self, deployment: Deployment | None) -> bool:
        """Whether its node is to boot the installer: this alone lets nobody have a job."""
        return deployment is not None and may_begin(deployment, self._since)

    # The operator's side

    def arm(self, order: Arm, *, by: str = "", rollout: str = "") -> list[Deployment]:
        """All of the nodes, or none: raises BadInput or Refused before anything is written.

        `by` is who asks, `rollout` for what.
        """
        now = self.clock()
        self.roster.reload()
        armed = [replace(one, by=by, rollout=rollout) for one in self.would_arm(order)]
        with self.store.transaction():
            for deployment in armed:
                self._take_back(deployment.node, "replaced by a new arming", now)
                self.store.save_deployment(deployment)
        for deployment in armed:
            until = clock_time(deployment.until)
            self.feed.note(
                deployment.node, "armed", f"armed for {deployment.title} until {until}", now
            )
        return armed

    def would_arm(self, order: Arm) -> list[Deployment]:
        """What `arm` would grant by the site as it was read last; raises as that does."""
        now = self.clock()
        self.tick()
        self._check_installer()
        image = self.images.get(order.image, order.version or None)
        check_image(self.site, image)
        nodes = self.roster.targets(order.nodes)
        check_hooks(self.site, nodes)
        check_overlays(self.site, nodes, image)
        return [self._arming(name, image, order, now) for name in nodes]

    def disarm(self, nodes: Sequence[str]) -> None:
        now = self.clock()
        for name in self.roster.targets(nodes):
            if self._take_back(name, "disarmed by the operator", now):
                self.feed.note(name, "disarmed", "disarmed", now)

    def give_up(self, key: str, reason: str, hint: str, *, failed: bool) -> None:
        """Takes an arming back whose node did not come to its job; nothing if it has by now.

        With `failed` that is how its deployment ended, else it is disarmed.
        """
        found, now = self.store.deployment(key), self.clock()
        if found is None or found.state != "armed":
            return
        state: DeploymentState = "failed" if failed else "disarmed"
        self.store.save_deployment(replace(found, state=state, ended=now, reason=reason, hint=hint))
        self.feed.note(found.node, "disarmed", "disarmed", now)

    def _arming(self, name: str, image: Image, order: Arm, now: float) -> Deployment:
        self._check_idle(name, now)
        installed = self.store.installed(name)
        return new_deployment(self.site, image.manifest, order, name, now, installed)

    def _check_installer(self) -> None:
        for path in (self.site.paths.kernel, self.site.paths.initramfs):
            if not path.exists():
                raise Refused(f"there is no {path}", hint="build it: swarmstrap initramfs")

    def _check_idle(self, name: str, now: float) -> None:
        latest = self.store.latest_deployment(name)
        if latest is None or latest.state != "active":
            return
        if now - (latest.heard or now) < ABSENCE_SECONDS:
            raise Refused(
                f"node {name} is being deployed, phase {latest.phase}",
                hint=f"wait until it ends, or until it has been silent for {ABSENCE_SECONDS:.0f} s",
            )

    def _take_back(self, name: str, reason: str, now: float) -> bool:
        """Ends what is armed or abandoned under `name`; whether there was anything."""
        latest = self.store.latest_deployment(name)
        if latest is None or latest.state not in ("armed", "active"):
            return False
        state = "disarmed" if latest.state == "armed" else "failed"
        self.store.save_deployment(replace(latest, state=state, ended=now, reason=reason))
        return True

    def tick(self) -> None:
        """End what time has ended; to be called every few seconds."""
        now = self.clock()
        for deployment in self.store.open():
            self._end_in_time(deployment, now)
        self.store.write_behind()

    def _end_in_time(self, deployment: Deployment, now: float) -> None:
        ended = expired(deployment, now) or silent(deployment, now)
        if ended is not None:
            self.store.save_deployment(ended)
            failed = ended.state != "deployed"
            self.feed.note(
                ended.node, ended.state, ended.reason, now, failed=failed, hint=ended.hint
            )

    # The node's side

    def register(self, register: Register, address: str) -> Registered:
        """Notes the node and its inventory; a token only for an armed one."""
        now = self.clock()
        name = self.roster.meet(register.inventory, address)
        if (before := self.store.last_arming(name)) is not None:
            self._end_in_time(before, now)
        latest = self.store.last_arming(name)
        if latest is None or not self._admits(latest, now):
            reason = why_no_token(name, latest)
            self.feed.note(name, "not-armed", f"registered, and boots its disk: {reason}", now)
            return Registered(node=name, reason=reason)
        token = new_secret()
        sessions.add_token(self.store, digest(token), latest.id, token_ends(latest, now))
        self.feed.note(name, "registered", f"registered from {address}", now)
        return Registered(node=name, token=token)

    def take_job(self, token: str, claim: str) -> Job:
        """Exchange `token` for its job; raises Untrusted, saying when it was used or expired.

        For a while the same `claim` gets it again, with a session that replaces the first.
        """
        now = self.clock()
        found = sessions.token(self.store, digest(token))
        deployment = self.store.deployment(found.deployment) if found else None
        if found is None or deployment is None:
            raise Untrusted("token is not one of this server", hint="register again")
        try:
            again = answered_before(found, deployment, claim, now)
            if not again:
                admitted = self._admits(deployment, now)
                check_redeemable(found, deployment, now, admitted=admitted)
            job = self._grant(deployment, token, claim, None if again else now)
        except SwarmstrapError as error:
            self.feed.note(
                deployment.node, "refused", error.message, now, failed=True, hint=error.hint
            )
            raise
        beginning = " once more, from the beginning" if deployment.begun and not again else ""
        takes = f"takes the job for {deployment.title}{beginning}"
        self.feed.note(deployment.node, "started", takes, now)
        return job

    def _admits(self, deployment: Deployment, now: float) -> bool:
        return self.grants(deployment) and not is_alive(deployment, now, self.feed.pause)

    def _grant(self, deployment: Deployment, token: str, claim: str, begins: float | None) -> Job:
        """`begins` is None for an answer that is given again."""
        session = new_secret()
        encrypted = [volume.name for volume in self.site.layout(deployment.layout).luks]
        passphrases = node_secrets(self.site.paths, deployment.node, encrypted)
        job = make_job(self.site, self._image_of(deployment), deployment, session, passphrases)
        with self.store.transaction():
            sessions.set_session(self.store, digest(session), deployment.id)
            if begins is not None:
                sessions.use_token(self.store, digest(token), digest(claim), begins)
                self.store.save_deployment(started(deployment, begins, self._uplink))
        return job

    def _image_of(self, deployment: Deployment) -> Path:
        image = self.images.get(deployment.image, deployment.version)
        if image.manifest.infohash != deployment.infohash:
            raise Refused(
                f"image {deployment.title} was replaced after arming", hint=arm_again(deployment)
            )
        return image.directory

    def session(self, bearer: str) -> Deployment:
        """The deployment whose session this is; raises Untrusted."""
        deployment = sessions.session(self.store, digest(bearer))
        if deployment is None:
            raise Untrusted("session is not one of this server")
        return deployment

    def current(self, deployment: Deployment) -> Deployment:
        """As it is in the store now."""
        return self.store.deployment(deployment.id) or deployment

    def seeds(self, deployment: Deployment, uploaded: int) -> Deployment:
        """The node is seeding and has given `uploaded` payload bytes so far."""
        deployment = replace(deployment, uploaded=uploaded, heard=self.clock())
        self.store.note_deployment(deployment)
        return deployment
