# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a node: discovered -> ready -> armed -> deploying -> deployed | planned | failed.

A deployment begins as an arming, an operator's permission for one node and a limited time. All
changes of one are functions here, from value to value; the times are seconds since 1970.
"""

from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from swarmstrap.steps import Phase
from swarmstrap.wire import DRY_RUN, Event, Finish, Mode, Usage, Verify

State = Literal["discovered", "ready", "armed", "deploying", "deployed", "planned", "failed"]
DeploymentState = Literal["armed", "active", "deployed", "planned", "failed", "expired", "disarmed"]

# The longest a healthy node says nothing: a hook's time-out, and a slow mkfs on top of it.
SILENCE_SECONDS = 900.0
# A node not heard of for so long does not keep others seeding for it.
ABSENCE_SECONDS = 60.0
# One arming lets a node begin so often: it may lose its power, and must not install for ever.
MOST_BEGINNINGS = 3
# From here on the node's own disk starts, and the server is told the end before it does.
_BOOTABLE = ("seed", "finish")

STORY = ("look", "ask", "decide", "say")
PHASES: tuple[str, ...] = (*STORY, *get_args(Phase))


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node, one image, one permission. An update has as `origin` the deployment whose
    identifiers are on the disks. It was armed `by` whom, for `rollout` or by itself. `until` ends
    the arming; `begun` counts the boots that took the job, and what follows is of the last one:
    `sequence` is the last event taken; `payload`, `from_seeder` and `from_peers` are bytes;
    `phases` maps a phase to the seconds spent in it, by the node's clock, and `step_began` is a
    time of that clock. The last fetch `began` at a time of the server's clock, when others had the
    share `out` of the image, over a seeder's link of `uplink` bytes a second (0: unknown); `usage`
    is what it has taken of the node.
    """

    id: str
    node: str
    image: str
    version: str
    infohash: str
    payload: int
    layout: str
    finish: Finish
    mode: Mode = "deploy"
    origin: str = ""
    preserve: tuple[str, ...] = ()
    allow_older: bool = False
    by: str = ""
    rollout: str = ""
    verify: Verify = "written"
    armed_at: float
    until: float
    state: DeploymentState = "armed"
    begun: int = 0
    started: float | None = None
    ended: float | None = None
    heard: float | None = None
    sequence: int = -1
    phase: str = ""
    progress: float | None = None
    step_began: float | None = None
    fetched: bool = False
    from_seeder: int = 0
    from_peers: int = 0
    uploaded: int = 0
    uplink: int = 0
    began: float | None = None
    out: float = 0.0
    usage: Usage | None = None
    phases: dict[str, float] = {}
    reason: str = ""
    hint: str = ""

    @property
    def title(self) -> str:
        return f"{self.image}:{self.version}"


def node_state(in_site: bool, latest: Deployment | None) -> State:
    """`latest` is the newest deployment that neither expired nor was disarmed."""
    if latest is None:
        return "ready" if in_site else "discovered"
    match latest.state:
        case "armed" | "deployed" | "planned" | "failed":
            return latest.state
        case "active":
            return "deploying"
        case "expired" | "disarmed":
            return "ready" if in_site else "discovered"


def started(deployment: Deployment, now: float, uplink: int = 0) -> Deployment:
    """The node exchanged its token for the job; what an earlier boot of it said is of the past."""
    return replace(
        deployment,
        state="active",
        begun=deployment.begun + 1,
        started=now,
        heard=now,
        sequence=-1,
        phase="ask",
        progress=None,
        step_began=None,
        fetched=False,
        from_seeder=0,
        from_peers=0,
        uploaded=0,
        uplink=uplink,
        began=None,
        out=0.0,
        usage=None,
        phases={},
    )


def may_begin(deployment: Deployment, since: float) -> bool:
    """Whether its node is to install when it boots: an armed one, and one that lost its power.

    `since` is when this server began to listen: nobody knows how far a node came that was not
    heard after that, and a system that may be complete is not replaced.
    """
    if deployment.state == "armed":
        return True
    return (
        deployment.state == "active"
        and deployment.begun < MOST_BEGINNINGS
        and deployment.phase not in _BOOTABLE
        and (deployment.heard or 0.0) >= since
    )


def expired(deployment: Deployment, now: float) -> Deployment | None:
    """The arming whose time passed before its node came; None while it still holds."""
    if deployment.state != "armed" or now < deployment.until:
        return None
    return replace(
        deployment,
        state="expired",
        ended=now,
        reason="the arming expired before the node came",
        hint=arm_again(deployment),
    )


def arm_again(deployment: Deployment) -> str:
    """What to do when this permission is of no use any more."""
    return f"arm again: swarmstrap deploy {deployment.title} --to {deployment.node}"


def silent(deployment: Deployment, now: float) -> Deployment | None:
    """The deployment as ended when its node has said nothing for too long, else None.

    One whose disk was complete by then is deployed: it lost its power while it served its peers.
    """
    if deployment.state != "active" or now - (deployment.heard or now) < SILENCE_SECONDS:
        return None
    minutes, phase = SILENCE_SECONDS / 60, deployment.phase
    reason = f"no word from the node for {minutes:.0f} minutes, last phase {phase}"
    if phase in _BOOTABLE:
        reason += ": its disk was complete"
        hint = "look whether its system has started"
        return replace(deployment, state="deployed", ended=now, reason=reason, hint=hint)
    hint = "look at the node's console, then deploy again"
    return replace(deployment, state="failed", ended=now, reason=reason, hint=hint)


def after_event(deployment: Deployment, event: Event, now: float) -> Deployment:
    """The deployment once `event` is taken; one that was taken before changes nothing."""
    if event.sequence <= deployment.sequence:
        return deployment
    deployment = replace(deployment, sequence=event.sequence, heard=now)
    if deployment.state not in ("active", "failed"):
        return deployment
    if event.name == DRY_RUN and event.kind == "finish":
        return replace(deployment, state="planned", ended=now, reason=event.description)
    phase = phase_of(event.name)
    if phase is None or event.kind == "log":
        return deployment
    deployment = _counted(deployment, event, now)
    match event.kind:
        case "start":
            return _step_began(deployment, event, phase)
        case "progress":
            return replace(deployment, phase=phase, progress=event.progress)
        case "finish":
            return _step_ended(deployment, event, phase, now)


def phase_of(name: str) -> str | None:
    """`do/disks/3` is of phase `disks`, `look` of phase `look`, anything else of none."""
    parts = name.split("/")
    phase = parts[1] if parts[0] == "do" and len(parts) > 1 else parts[0]
    return phase if phase in PHASES else None


def _counted(deployment: Deployment, event: Event, now: float) -> Deployment:
    if event.usage is not None:
        deployment = _measured(deployment, event, event.usage, now)
    if event.from_seeder is not None:
        deployment = replace(deployment, from_seeder=event.from_seeder)
    if event.from_peers is not None:
        deployment = replace(deployment, from_peers=event.from_peers)
    return deployment


def begins_fetch(deployment: Deployment, event: Event) -> bool:
    """Whether `event` is the first to measure a fetch, which may be another try."""
    before, usage = deployment.usage, event.usage
    return usage is not None and (before is None or usage.seconds < before.seconds)


def _measured(deployment: Deployment, event: Event, usage: Usage, now: float) -> Deployment:
    began = now - usage.seconds
    if deployment.began is not None and not begins_fetch(deployment, event):
        # The event that was the quickest to come tells it best.
        began = min(deployment.began, began)
    return replace(deployment, usage=usage, began=began)


def _step_began(deployment: Deployment, event: Event, phase: str) -> Deployment:
    # A node that was given up for its silence may be at work all the same.
    return replace(
        deployment,
        state="active",
        ended=None,
        reason="",
        hint="",
        phase=phase,
        progress=None,
        step_began=event.time,
    )


def _step_ended(deployment: Deployment, event: Event, phase: str, now: float) -> Deployment:
    seconds = max(0.0, event.time - (deployment.step_began or event.time))
    spent = {**deployment.phases, phase: deployment.phases.get(phase, 0.0) + seconds}
    deployment = replace(deployment, phases=spent, phase=phase, progress=None, step_began=None)
    if event.result == "fail":
        return replace(
            deployment,
            state="failed",
            ended=now,
            reason=event.description or f"{event.name} failed",
            hint=event.hint,
        )
    if event.result == "warning":  # the node is about to try again
        return deployment
    if phase == "image":
        deployment = replace(deployment, fetched=True)
    # The agent says this before it carries out the last step: afterwards it is gone.
    return replace(deployment, state="deployed", ended=now) if phase == "finish" else deployment
