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
from swarmstrap.hardware import Inventory
from swarmstrap.wire import Job, Register, Registered
from swarmstrap_server.control import naming, views
from swarmstrap_server.control.admission import check_hooks, check_image, check_overlays
from swarmstrap_server.control.bearers import digest, new_secret
from swarmstrap_server.control.events import Feed
from swarmstrap_server.control.identity import (
    Directory,
    Known,
    Marks,
    identify,
    marks_of_inventory,
    marks_of_node,
    name_for_unknown,
)
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.nodes import (
    ABSENCE_SECONDS,
    MOST_BEGINNINGS,
    Deployment,
    arm_again,
    expired,
    may_begin,
    silent,
    started,
)
from swarmstrap_server.control.operator_wire import Arm, Naming, NodeView
from swarmstrap_server.control.store import SeenNode, Store, Token
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.secrets import node_secrets
from swarmstrap_server.times import clock_time

TOKEN_SECONDS = 600.0
# An agent that got no answer tries again for a minute, and a try ends after half of one.
CLAIM_SECONDS = 90.0
# An agent is heard every other second while it fetches: whoever comes meanwhile is another machine.
_ALIVE_SECONDS = 5.0
_ALIVE_PAUSES = 2.5


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
        self.site = site
        self.site_is_good = True
        self.store = store
        self.images = images
        self.clock = clock
        self._since = clock()
        # Who keeps in memory what the store says of nodes by their names reads it again.
        self.readers: list[Callable[[], None]] = []
        self.feed = Feed(store, self.view, self.grants)
        self._adopt()

    def _renamed(self) -> None:
        for reader in self.readers:
            reader()

    def view(self, node: str) -> NodeView:
        return views.node_view(self.site, self.store, node)

    def grants(self, deployment: Deployment | None) -> bool:
        """Whether its node is to boot the installer: this alone lets nobody have a job."""
        return deployment is not None and may_begin(deployment, self._since)

    def reload(self) -> None:
        """Read the site folder again; raises BadInput and keeps the old site when it is wrong."""
        self.site_is_good = False
        self.site = read_site(self.site.paths.root)
        self.site_is_good = True
        self._adopt()

    def _adopt(self) -> None:
        """Machines that were discovered take the name that the site now gives them."""
        naming.forget_those_in_files(self.site, self.store)
        self._settle(naming.with_names(self.site, self.store))
        for seen in self.store.nodes():
            if seen.name in self.site.nodes:
                continue
            name = self._directory.identify(seen.marks)
            if name is not None and self.store.node(name) is None:
                self.store.rename_node(seen.name, name)
                self._renamed()

    def _settle(self, site: Site) -> None:
        self.site = site
        self._directory = Directory(
            Known(name, marks_of_node(node)) for name, node in site.nodes.items()
        )

    def known_as(self, seen: Marks) -> str | None:
        """The node that these marks belong to; raises Refused when it cannot be told."""
        name = self._directory.identify(seen)
        if name is not None:
            return name
        strangers = [n.known for n in self.store.nodes() if n.name not in self.site.nodes]
        return identify(seen, strangers)

    # The operator's side

    def targets(self, words: Sequence[str]) -> tuple[str, ...]:
        """The nodes that `words` mean, machines that no file names among them; raises BadInput."""
        return self.site.targets(words, [seen.name for seen in self.store.nodes()])

    def name_node(self, old: str, wish: Naming) -> None:
        """A machine of no file gets a name and groups; raises BadInput."""
        seen = naming.checked(self.site, self.store, old, wish)
        self._name(seen, wish, naming.BY_HAND)

    def _name(self, seen: SeenNode, wish: Naming, by: str) -> None:
        self._settle(naming.give(self.site, self.store, seen, wish, by))
        if seen.name != wish.name:
            self._renamed()
        groups = f", in {', '.join(wish.groups)}" if wish.groups else ""
        said = f"{seen.name} is called {wish.name}{groups}, by {by}"
        self.feed.note(wish.name, "named", said, self.clock())

    def arm(self, order: Arm, *, by: str = "", rollout: str = "") -> list[Deployment]:
        """All of the nodes, or none: raises BadInput or Refused before anything is written.

        `by` is who asks, `rollout` for what.
        """
        now = self.clock()
        self.reload()
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
        nodes = self.targets(order.nodes)
        check_hooks(self.site, nodes)
        check_overlays(self.site, nodes, image)
        return [self._arming(name, image, order, now) for name in nodes]

    def disarm(self, nodes: Sequence[str]) -> None:
        now = self.clock()
        for name in self.targets(nodes):
            if self._take_back(name, "disarmed by the operator", now):
                self.feed.note(name, "disarmed", "disarmed", now)

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
        marks = marks_of_inventory(register.inventory)
        booted = register.inventory.boot.pxe_interface
        name = self.known_as(marks) or name_for_unknown(marks, booted)
        seen = SeenNode(name, marks, address, now)
        self.store.save_node(seen, register.inventory)
        if name not in self.site.nodes:
            name = self._named_by_rule(seen, register.inventory)
        if (before := self.store.last_arming(name)) is not None:
            self._end_in_time(before, now)
        latest = self.store.last_arming(name)
        if latest is None or not self._admits(latest, now):
            reason = _why_not(name, latest)
            self.feed.note(name, "not-armed", f"registered, and boots its disk: {reason}", now)
            return Registered(node=name, reason=reason)
        token = new_secret()
        expires = now + TOKEN_SECONDS
        if latest.state == "armed":
            expires = min(expires, latest.until)
        self.store.add_token(digest(token), latest.id, expires)
        self.feed.note(name, "registered", f"registered from {address}", now)
        return Registered(node=name, token=token)

    def _named_by_rule(self, seen: SeenNode, inventory: Inventory) -> str:
        """What the machine is called from now on."""
        try:
            found = naming.by_rule(self.site, self.store, seen, inventory)
        except Refused as error:
            hint = f"see discovery.yaml, or say swarmstrap node name {seen.name} NAME"
            now = self.clock()
            self.feed.note(seen.name, "unnamed", error.message, now, failed=True, hint=hint)
            return seen.name
        if found is None:
            return seen.name
        wish, by = found
        self._name(seen, wish, by)
        return wish.name

    def take_job(self, token: str, claim: str) -> Job:
        """Exchange `token` for its job; raises Untrusted, saying when it was used or expired.

        For CLAIM_SECONDS the same `claim` gets it again, with a session that replaces the first.
        """
        now = self.clock()
        found = self.store.token(digest(token))
        deployment = self.store.deployment(found.deployment) if found else None
        if found is None or deployment is None:
            raise Untrusted("token is not one of this server", hint="register again")
        try:
            again = _answered_before(found, deployment, claim, now)
            if not again:
                self._check_redeemable(found, deployment, now)
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
        within = max(_ALIVE_SECONDS, _ALIVE_PAUSES * self.feed.pause)
        alive = deployment.heard is not None and now - deployment.heard < within
        return self.grants(deployment) and not alive

    def _check_redeemable(self, token: Token, deployment: Deployment, now: float) -> None:
        if token.used is not None:
            reason = f"token was already used at {clock_time(token.used)}"
        elif now >= token.expires:
            reason = f"token expired at {clock_time(token.expires)}"
        elif not self._admits(deployment, now):
            reason = f"the arming is gone: {deployment.reason or deployment.state}"
        else:
            return
        raise Untrusted(reason, hint=arm_again(deployment))

    def _grant(self, deployment: Deployment, token: str, claim: str, begins: float | None) -> Job:
        """`begins` is None for an answer that is given again."""
        session = new_secret()
        encrypted = [volume.name for volume in self.site.layout(deployment.layout).luks]
        passphrases = node_secrets(self.site.paths, deployment.node, encrypted)
        job = make_job(self.site, self._image_of(deployment), deployment, session, passphrases)
        with self.store.transaction():
            self.store.set_session(digest(session), deployment.id)
            if begins is not None:
                self.store.use_token(digest(token), digest(claim), begins)
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
        deployment = self.store.session(digest(bearer))
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


def _answered_before(token: Token, deployment: Deployment, claim: str, now: float) -> bool:
    """Whether this is the one who used the token up, and who may not have heard the answer."""
    return (
        token.used is not None
        and token.claim == digest(claim)
        and now - token.used < CLAIM_SECONDS
        and deployment.state == "active"
    )


def _why_not(name: str, latest: Deployment | None) -> str:
    match latest.state if latest else None:
        case "expired" if latest:
            return f"the arming for {latest.title} expired at {clock_time(latest.until)}"
        case "active" if latest and latest.begun >= MOST_BEGINNINGS:
            return f"{latest.title} was begun {latest.begun} times, and has not come to its end"
        case "active" if latest and latest.started:
            return f"{latest.title} is under way since {clock_time(latest.started)}"
        case _:
            return f"not armed: swarmstrap deploy IMAGE --to {name}"
